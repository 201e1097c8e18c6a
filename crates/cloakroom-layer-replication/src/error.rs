use cloakroom_core::{ErrorKind, SessionError};

/// What errors call the layer.
pub(crate) const NAME: &str = "replication";

pub(crate) fn unavailable(operation: &'static str, message: &'static str) -> SessionError {
    SessionError::new(ErrorKind::Unavailable, operation).with_backend(NAME).with_message(message)
}

/// Whether a copy said no because of what is there.
pub(crate) fn is_refusal(error: &SessionError) -> bool {
    matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict | ErrorKind::Gone)
}

/// Whether it is certain that nothing was written.
pub(crate) fn had_no_effect(error: &SessionError) -> bool {
    is_refusal(error)
        || matches!(
            error.kind(),
            ErrorKind::QuotaExceeded
                | ErrorKind::TooLarge
                | ErrorKind::InvalidKey
                | ErrorKind::InvalidConfig
                | ErrorKind::Unsupported
        )
}

/// Why a copy does not hold what it should.
pub(crate) enum Failure {
    /// It cannot take it: it does not answer, is full, or must not be written.
    Copy(SessionError),
    /// It cannot be told what it should hold: the authority does not answer or changed, or a write is under way.
    Undecided(SessionError),
}
