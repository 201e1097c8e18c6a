//! The errors of this backend. None says anything about a key, a token or a payload.

use std::borrow::Cow;

use cloakroom_core::{ErrorKind, SessionError};

pub(crate) const NAME: &str = "jwt";

pub(crate) fn config(operation: &'static str, message: impl Into<Cow<'static, str>>) -> SessionError {
    refuse(ErrorKind::InvalidConfig, operation, message)
}

pub(crate) fn refuse(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<Cow<'static, str>>,
) -> SessionError {
    SessionError::new(kind, operation).with_backend(NAME).with_message(message)
}
