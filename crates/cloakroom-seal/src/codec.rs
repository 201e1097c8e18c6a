use std::fmt::Debug;

use cloakroom_core::{Record, Result, Scope, SessionId};

/// How a client-side session becomes a text and back. The one thing that kinds of client-side sessions differ in.
pub trait Codec: Debug + Send + Sync + 'static {
    /// The backend's name in errors, such as `cookie`.
    fn name(&self) -> &'static str;

    /// The longest text that is made or accepted, in bytes.
    fn max_length(&self) -> usize;

    /// The largest payload that fits for a record without an owner or a scope, in bytes.
    fn max_payload(&self) -> usize;

    /// The text of a session, bound to its scope. It holds the id and the whole record.
    ///
    /// # Errors
    /// `TooLarge` with both sizes when the text would be over [`max_length`](Self::max_length).
    fn seal(&self, scope: Option<&Scope>, id: SessionId, record: &Record) -> Result<Box<str>>;

    /// What a text holds; `None` unless it was sealed here for that scope. All reasons look alike from outside. Expiry
    /// is not looked at.
    fn open(&self, scope: Option<&Scope>, text: &str) -> Option<(SessionId, Record)>;
}
