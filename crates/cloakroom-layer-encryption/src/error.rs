use cloakroom_core::{ErrorKind, SessionError};

pub(crate) const NAME: &str = "encryption";

pub(crate) fn refuse(kind: ErrorKind, operation: &'static str, message: &'static str) -> SessionError {
    SessionError::new(kind, operation).with_backend(NAME).with_message(message)
}

pub(crate) fn too_large(operation: &'static str, length: usize, most: usize) -> SessionError {
    SessionError::new(ErrorKind::TooLarge, operation)
        .with_backend(NAME)
        .with_message(format!("a payload of {length} bytes, at most {most} fit"))
}

pub(crate) fn corrupted(operation: &'static str) -> SessionError {
    refuse(
        ErrorKind::Corrupted,
        operation,
        "what is stored was not sealed for this session with any of the keys",
    )
}
