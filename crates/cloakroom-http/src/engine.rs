use std::borrow::Cow;
use std::sync::Arc;

use cloakroom_core::{
    Capability, ErrorKind, KeyChange, SecurityEvent, Session, SessionBackend, SessionConfig, SessionError,
    SessionEvent,
};

use crate::outcome::Outcome;
use crate::refusal::refusal;
use crate::transport::Transport;

/// What a middleware does before and after the handler, in strings and bytes: adapters only move headers.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackend};
/// use cloakroom_http::{Engine, is_touched};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let backend = InMemorySessionBackend::new();
/// let engine = Engine::new(backend.capability());
///
/// let opened = engine.open(backend.clone(), []); // no `Cookie` header
/// opened.session.load().await?;
/// opened.session.set("user", "ada")?;
///
/// assert!(is_touched(&opened.session));
/// let outcome = engine.close(&opened.session, opened.presented, 200).await;
/// assert_eq!(outcome.vary.as_deref(), Some("Cookie"));
/// assert!(outcome.announce.is_some_and(|header| header.value().starts_with("__Host-id=")));
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Engine {
    config: Arc<SessionConfig>,
    transport: Transport,
    capability: Capability,
    save_on_5xx: bool,
}

/// A request's session, not loaded yet.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened<B: SessionBackend> {
    /// The session.
    pub session: Session<B>,
    /// Whether the request carried something that could be a key.
    pub presented: bool,
}

impl Engine {
    /// For sessions in a backend of that capability, with all defaults.
    pub fn new(capability: Capability) -> Self {
        Self { config: Arc::default(), transport: Transport::default(), capability, save_on_5xx: false }
    }

    /// How sessions behave.
    pub fn with_config(mut self, config: SessionConfig) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// How keys travel.
    pub fn with_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Whether sessions are saved when the handler failed with a status of 500 or more (default no).
    pub fn with_save_on_5xx(mut self, save: bool) -> Self {
        self.save_on_5xx = save;
        self
    }

    /// How keys travel.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// How sessions behave.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The session of a request, from the values of its [request header](Transport::request_header)s. No backend
    /// call: the session is read when somebody loads it. What cannot be a key never reaches a backend (ST-07).
    pub fn open<'a, B: SessionBackend>(
        &self,
        backend: B,
        lines: impl IntoIterator<Item = &'a [u8]>,
    ) -> Opened<B> {
        let candidates = self.transport.candidates(lines, &self.capability);
        let presented = !candidates.is_empty();
        if candidates.malformed {
            self.config.notify(SessionEvent::Security(SecurityEvent::MalformedKey));
        }
        let session = Session::with_candidates(
            backend,
            candidates.first,
            candidates.others.into_boxed_slice(),
            Arc::clone(&self.config),
        );
        Opened { session, presented }
    }

    /// What is to be done when the handler has answered: saves what changed, renews or extends what is due, and says
    /// what the response must tell. For a session that was never [touched](is_touched) nothing happens.
    ///
    /// No backend call for a session that was only read, one when its life is extended; one when it changed; more
    /// over conflicts. With a status of 500 or more nothing is saved, but the client still learns of what the handler
    /// itself has stored or ended already.
    ///
    /// A handler that changed nothing loses nothing when extending the session's life fails: that is logged, and the
    /// response stays.
    pub async fn close<B: SessionBackend>(
        &self,
        session: &Session<B>,
        presented: bool,
        status: u16,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        if !is_touched(session) {
            return outcome;
        }
        outcome.vary = Some(match &self.transport {
            Transport::Cookie(_) => Cow::Borrowed("Cookie"),
            Transport::Header(_) => Cow::Owned(self.transport.vary().to_owned()),
        });
        if status < 500 || self.save_on_5xx {
            let changed = session.is_modified();
            if let Err(error) = session.finish().await {
                self.report(session, &error, changed);
                if changed {
                    outcome.refusal = refusal(error.kind());
                }
            }
        } else if session.is_modified() {
            tracing::debug!(target: "cloakroom", status, "the handler failed: its session is not saved");
        }
        let change = session.key_change();
        // A removal tells a client to forget its key: one that showed none has nothing to forget (MW-010).
        if change == KeyChange::Remove && !presented {
            return outcome;
        }
        let now = session.backend().clock().now();
        match self.transport.announce(&change, now) {
            Ok(announce) => {
                outcome.announce = announce;
                outcome.further = self.transport.announce_further(&change, now);
            }
            Err(error) => {
                self.report(session, &error, true);
                outcome.refusal = refusal(error.kind());
            }
        }
        outcome
    }

    fn report<B: SessionBackend>(&self, session: &Session<B>, error: &SessionError, changed: bool) {
        match error.kind() {
            _ if !changed => {
                tracing::warn!(target: "cloakroom", %error, "the session was not extended; its end stays");
            }
            ErrorKind::Gone => tracing::info!(target: "cloakroom", %error, "a request outlived its session"),
            ErrorKind::Conflict => tracing::warn!(target: "cloakroom", %error, "saving the session failed"),
            _ => tracing::error!(target: "cloakroom", %error, "saving the session failed"),
        }
        if let (ErrorKind::Corrupted, Some(id)) = (error.kind(), session.id()) {
            self.config.notify(SessionEvent::Security(SecurityEvent::Corrupted(id)));
        }
    }
}

/// Whether somebody looked into the session or changed it. If not, the response goes out as it is, without `Vary`
/// (MW-003).
#[must_use]
pub fn is_touched<B: SessionBackend>(session: &Session<B>) -> bool {
    session.is_accessed() || session.is_modified()
}
