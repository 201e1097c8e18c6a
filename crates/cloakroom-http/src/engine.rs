use std::borrow::Cow;
use std::sync::Arc;

use cloakroom_core::{
    Capability, ErrorKind, KeyChange, SecurityEvent, Session, SessionBackend, SessionConfig, SessionError,
    SessionEvent,
};

use crate::outcome::Outcome;
use crate::refusal::{Refusal, refusal};
use crate::tenant::{NoTenant, TenantResolver};
use crate::transport::Transport;

/// What a middleware does before and after the handler, in strings and bytes: adapters only move headers.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackend};
/// use cloakroom_http::Engine;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let backend = InMemorySessionBackend::new();
/// let engine = Engine::new(backend.capability());
///
/// let opened = engine.open(backend.clone(), []); // no `Cookie` header
/// opened.session.load().await?;
/// opened.session.set("user", "ada")?;
///
/// assert!(opened.session.is_touched());
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
    place: u64,
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
        let transport = Transport::default();
        let place = transport.place();
        Self { config: Arc::default(), transport, capability, place, save_on_5xx: false }
    }

    /// How sessions behave.
    pub fn with_config(mut self, config: SessionConfig) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// How keys travel.
    pub fn with_transport(mut self, transport: Transport) -> Self {
        self.place = transport.place();
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

    /// The answer to every request of an engine whose backend and [transport](Transport::check) do not fit together:
    /// nothing may be opened then. `None` where they do. Free.
    #[must_use]
    pub fn misfit(&self) -> Option<Outcome> {
        self.misfit_of(&self.capability)
    }

    /// As [`misfit`](Self::misfit), for a backend that was chosen for one request.
    #[must_use]
    pub fn misfit_of(&self, capability: &Capability) -> Option<Outcome> {
        let error = self.transport.check(capability).err()?;
        tracing::error!(target: "cloakroom", %error, "no session is opened");
        Some(Outcome { refusal: refusal(error.kind()), ..Outcome::default() })
    }

    /// The session of a request, from the values of its [request header](Transport::request_header)s. No backend
    /// call: the session is read when somebody loads it. What cannot be a key never reaches a backend (ST-07).
    pub fn open<'a, B: SessionBackend>(
        &self,
        backend: B,
        lines: impl IntoIterator<Item = &'a [u8]>,
    ) -> Opened<B> {
        self.open_with(&self.capability, backend, lines)
    }

    /// As [`open`](Self::open), for a backend that was chosen for one request and has that capability.
    pub fn open_with<'a, B: SessionBackend>(
        &self,
        capability: &Capability,
        backend: B,
        lines: impl IntoIterator<Item = &'a [u8]>,
    ) -> Opened<B> {
        let candidates = self.transport.candidates(lines, capability);
        let presented = !candidates.is_empty();
        if candidates.malformed {
            self.config.notify(SessionEvent::Security(SecurityEvent::MalformedKey));
        }
        let session = Session::of_request(
            backend,
            candidates.first,
            candidates.others.into_boxed_slice(),
            Arc::clone(&self.config),
            self.place,
        );
        Opened { session, presented }
    }

    /// The answer to a request that is for no tenant. It raises an event.
    #[must_use]
    pub fn no_tenant(&self, resolver: &TenantResolver, why: NoTenant) -> Outcome {
        tracing::debug!(target: "cloakroom", why = why.as_str(), "no tenant");
        self.config.notify(SessionEvent::Security(SecurityEvent::UnknownTenant));
        let vary = resolver.vary().map(|name| Cow::Owned(name.to_owned()));
        Outcome {
            refusal: Some(Refusal::of_no_tenant(resolver.unknown_tenant())),
            vary,
            ..Outcome::default()
        }
    }

    /// The answer to a request whose backend could not be chosen.
    #[must_use]
    pub fn no_backend(&self, resolver: &TenantResolver, error: &SessionError) -> Outcome {
        if error.kind() == ErrorKind::InvalidKey {
            return self.no_tenant(resolver, NoTenant::Missing);
        }
        tracing::error!(target: "cloakroom", %error, "no session is opened");
        let refused = refusal(error.kind()).or_else(|| refusal(ErrorKind::Unexpected));
        Outcome { refusal: refused, ..Outcome::default() }
    }

    /// Whether a session came from the same cookie or header as this engine's: then an outer layer looks after it.
    #[must_use]
    pub fn is_place_of<B: SessionBackend>(&self, session: &Session<B>) -> bool {
        session.place() == self.place
    }

    /// What is to be done when the handler has answered: saves what changed, renews or extends what is due, and says
    /// what the response must tell. For a session that was never [touched](Session::is_touched) nothing happens.
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
        match self.close_now(session, presented, status) {
            Some(outcome) => outcome,
            None => self.close_later(session, presented).await,
        }
    }

    /// The rest of [`close`](Self::close), after [`close_now`](Self::close_now) gave `None`.
    pub async fn close_later<B: SessionBackend>(&self, session: &Session<B>, presented: bool) -> Outcome {
        let changed = session.is_modified();
        let finished = session.finish().await;
        let mut outcome = self.outcome(session, presented, &session.key_change());
        if let Err(error) = finished {
            self.report(session, &error, changed);
            if changed {
                outcome.refusal = outcome.refusal.or(refusal(error.kind()));
            }
        }
        outcome
    }

    /// As [`close`](Self::close), where the backend is not needed: for most requests. `None` when it is needed; then
    /// nothing has happened yet.
    #[must_use]
    pub fn close_now<B: SessionBackend>(
        &self,
        session: &Session<B>,
        presented: bool,
        status: u16,
    ) -> Option<Outcome> {
        if !session.is_touched() {
            return Some(Outcome::default());
        }
        if status < 500 || self.save_on_5xx {
            return Some(self.outcome(session, presented, &session.finish_now()?));
        }
        if session.is_modified() {
            tracing::debug!(target: "cloakroom", status, "the handler failed: its session is not saved");
        }
        Some(self.outcome(session, presented, &session.key_change()))
    }

    fn outcome<B: SessionBackend>(
        &self,
        session: &Session<B>,
        presented: bool,
        change: &KeyChange,
    ) -> Outcome {
        let vary = match &self.transport {
            Transport::Cookie(_) => Cow::Borrowed("Cookie"),
            Transport::Header(_) => Cow::Owned(self.transport.vary().to_owned()),
        };
        let mut outcome = Outcome { vary: Some(vary), ..Outcome::default() };
        // A removal tells a client to forget its key: one that showed none has nothing to forget (MW-010).
        if *change == KeyChange::Keep || (*change == KeyChange::Remove && !presented) {
            return outcome;
        }
        let now = session.backend().clock().now();
        match self.transport.announce(change, now) {
            Ok(announce) => {
                outcome.announce = announce;
                outcome.further = self.transport.announce_further(change, now);
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
            ErrorKind::Conflict | ErrorKind::QuotaExceeded => {
                tracing::warn!(target: "cloakroom", %error, "saving the session failed");
            }
            _ => tracing::error!(target: "cloakroom", %error, "saving the session failed"),
        }
        if let (ErrorKind::Corrupted, Some(id)) = (error.kind(), session.id()) {
            self.config.notify(SessionEvent::Security(SecurityEvent::Corrupted(id)));
        }
    }
}
