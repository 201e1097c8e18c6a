use cloakroom_core::{ErrorKind, SessionError};

pub(crate) const NAME: &str = "cookie";

/// Settings that make no sense. Messages never quote them: a URL holds keys.
pub(crate) fn invalid(operation: &'static str, message: &'static str) -> SessionError {
    SessionError::new(ErrorKind::InvalidConfig, operation).with_backend(NAME).with_message(message)
}

/// Sizes of name and value together.
pub(crate) fn too_large(size: usize, most: usize) -> SessionError {
    SessionError::new(ErrorKind::TooLarge, "seal cookie")
        .with_backend(NAME)
        .with_message(format!("the cookie would have {size} bytes of name and value, at most {most} fit"))
}
