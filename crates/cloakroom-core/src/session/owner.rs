use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Session;
use super::data::Data;
use super::save::end;
use crate::backend::SessionBackend;
use crate::clock::Timestamp;
use crate::entropy;
use crate::error::{ErrorKind, Result, SessionError};
use crate::format::Format;
use crate::key::{Scope, SessionId};
use crate::observer::SessionEvent;
use crate::operation::{Entry, Filter, Removal};
use crate::record::Owner;

const MAX_ADDRESS: usize = 64;
const MAX_USER_AGENT: usize = 512;
const PAGE: usize = 100;
pub(super) const HANDLE: &str = "handle";

/// Where a session is used from, for people who look through a list of their devices. Texts are cut to 64 and 512
/// bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// The network address.
    pub address: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
}

impl Device {
    /// A device.
    #[must_use]
    pub fn new(address: Option<&str>, user_agent: Option<&str>) -> Self {
        let cut = |text: &str, most: usize| {
            let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
            text[..end.unwrap_or(0)].to_owned()
        };
        Self {
            address: address.map(|text| cut(text, MAX_ADDRESS)),
            user_agent: user_agent.map(|text| cut(text, MAX_USER_AGENT)),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        json!({ "address": self.address, "user_agent": self.user_agent })
    }

    pub(super) fn from_value(value: &Value) -> Self {
        let text = |member: &str| value.get(member)?.as_str().map(str::to_owned);
        Self { address: text("address"), user_agent: text("user_agent") }
    }
}

/// Names one session of an owner to that owner, for as long as it lives, whatever key it moves to. It is neither the
/// session's key nor its id, and means nothing for another owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionHandle(String);

impl SessionHandle {
    /// A random one, kept in the session from when it gets its owner.
    pub(super) fn generate() -> Result<Self> {
        Ok(Self(Base64UrlUnpadded::encode_string(&entropy::take()?[..18])))
    }

    /// The one that is kept; for a session without, one made from its id.
    fn of(owner: &Owner, id: SessionId, data: Option<&mut Data>) -> Self {
        if let Some(Value::String(kept)) = data.and_then(|data| data.reserved(HANDLE)) {
            return Self(kept);
        }
        let mut hash = Sha256::new();
        hash.update(b"cloakroom session handle\0");
        hash.update((owner.as_str().len() as u64).to_be_bytes());
        hash.update(owner.as_str());
        hash.update(id.as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        Self(Base64UrlUnpadded::encode_string(&hash[..18]))
    }

    /// From what a form sent back. Any text is a handle, if perhaps of no session.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text for a page or a form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One line in a list of an owner's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// To revoke it by.
    pub handle: SessionHandle,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, up to the throttling of touches.
    pub accessed_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// What it is used from, if that was kept.
    pub device: Option<Device>,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// Visits all sessions of an owner.
async fn each<B: SessionBackend>(backend: &B, filter: &Filter, mut visit: impl FnMut(Entry)) -> Result<()> {
    let mut after = None;
    loop {
        let page = backend.scan(filter, after, PAGE).await?;
        page.entries.into_iter().for_each(&mut visit);
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// An owner's sessions, the latest used first. One backend call per 100.
pub(crate) async fn sessions_of<B: SessionBackend>(
    backend: &B,
    scope: Option<&Scope>,
    owner: &Owner,
    current: Option<SessionId>,
) -> Result<Vec<SessionInfo>> {
    let filter = Filter::in_scope(scope).with_owner(owner.clone()).with_payload();
    let mut sessions = Vec::new();
    each(backend, &filter, |entry| {
        let Entry { id, record, .. } = entry;
        let mut data = Data::over(record.payload, None, Format::default()).ok();
        let device = data.as_mut().and_then(|data| data.reserved("device"));
        sessions.push(SessionInfo {
            handle: SessionHandle::of(owner, id, data.as_mut()),
            created_at: record.created_at,
            accessed_at: record.accessed_at,
            expires_at: record.expires_at,
            device: device.map(|value| Device::from_value(&value)),
            is_current: current == Some(id),
        });
    })
    .await?;
    sessions.sort_by_key(|session| std::cmp::Reverse(session.accessed_at));
    Ok(sessions)
}

/// Ends the session that the handle names among those of the owner, also when it moves meanwhile; tells the id it had.
pub(crate) async fn revoke<B: SessionBackend>(
    backend: &B,
    scope: Option<&Scope>,
    owner: &Owner,
    handle: &SessionHandle,
) -> Result<Option<SessionId>> {
    let filter = Filter::in_scope(scope).with_owner(owner.clone()).with_payload();
    // A listing may miss a session that moves while it is made, so that "none" takes a second one.
    for _ in 0..2 {
        let mut found = None;
        each(backend, &filter, |entry| {
            let mut data = Data::over(entry.record.payload.clone(), None, Format::default()).ok();
            if SessionHandle::of(owner, entry.id, data.as_mut()) == *handle {
                found = Some(entry.address());
            }
        })
        .await?;
        if let Some(address) = found
            && let Some(ended) = end(backend, address, Removal::Revoked).await?
        {
            return Ok(Some(ended));
        }
    }
    Ok(None)
}

/// The sessions of this session's owner.
impl<B: SessionBackend> Session<B> {
    fn own(&self) -> Result<(Owner, Option<Scope>, Option<SessionId>)> {
        self.require_loaded("sessions")?;
        let mut state = self.state();
        state.accessed = true;
        let owner = state.data.owner().cloned().ok_or_else(|| {
            SessionError::new(ErrorKind::InvalidKey, "sessions").with_message("the session has no owner")
        })?;
        let scope = state.key.as_ref().and_then(|key| key.scope().cloned());
        let id = state.stored.and(state.key.as_ref()).map(crate::SessionKey::id);
        Ok((owner, scope, id))
    }

    /// All sessions of the owner, the latest used first. One backend call per 100.
    ///
    /// # Errors
    /// `InvalidKey` when the session has no owner; `Unsupported` when the backend cannot list.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>> {
        let (owner, scope, id) = self.own()?;
        sessions_of(&self.0.backend, scope.as_ref(), &owner, id).await
    }

    /// Ends the session that the handle names, if it is this owner's, also when it is rotated meanwhile; says whether
    /// there was one. Its own session may be meant, and is then over as after a [`flush`](Session::flush). One backend
    /// call per 100 sessions, and one; twice the calls when there is none.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    pub async fn revoke(&self, handle: &SessionHandle) -> Result<bool> {
        let (owner, scope, _) = self.own()?;
        let revoked = revoke(&self.0.backend, scope.as_ref(), &owner, handle).await?;
        if let Some(id) = revoked {
            self.notify(SessionEvent::Deleted(id, Removal::Revoked));
            let mut state = self.state();
            if state.stored.and(state.key.as_ref()).map(crate::SessionKey::id) == Some(id) {
                state.ended = true;
                state.forget();
                state.modified = false;
            }
        }
        Ok(revoked.is_some())
    }

    /// Ends all other sessions of the owner (ST-19); says how many. One backend call.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    pub async fn revoke_others(&self) -> Result<u64> {
        let _gate = self.enter().await;
        let (owner, scope, id) = self.own()?;
        let mut filter = Filter::in_scope(scope.as_ref()).with_owner(owner);
        filter.except = id;
        let count = self.0.backend.remove_all(&filter, Removal::Revoked).await?;
        self.notify_revoked(count);
        Ok(count)
    }

    fn notify_revoked(&self, count: u64) {
        if count > 0 {
            self.notify(SessionEvent::Revoked(count));
        }
    }

    /// Ends all sessions of the owner, this one too; says how many. One backend call.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    pub async fn revoke_all(&self) -> Result<u64> {
        let _gate = self.enter().await;
        let (owner, scope, _) = self.own()?;
        let filter = Filter::in_scope(scope.as_ref()).with_owner(owner);
        let count = self.0.backend.remove_all(&filter, Removal::Revoked).await?;
        self.notify_revoked(count);
        let mut state = self.state();
        state.ended |= state.stored.is_some();
        state.forget();
        state.accessed = true;
        state.modified = false;
        Ok(count)
    }
}
