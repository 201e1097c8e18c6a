use std::fmt::Debug;

use cloakroom_core::{Record, Result, Scope, SessionId};

/// What a text holds beside its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The id of the session: stable through updates and touches, another after a rotation.
    pub id: SessionId,
    /// Which generation of its owner's sessions it belongs to: what revokes all of them begins another one, a random
    /// number. Zero for a session without an owner, and while its owner's were never revoked.
    pub generation: u64,
    /// The session.
    pub record: Record,
}

/// How a client-side session becomes a text and back. The one thing that kinds of client-side sessions differ in.
pub trait Codec: Debug + Send + Sync + 'static {
    /// The backend's name in errors, such as `cookie`.
    fn name(&self) -> &'static str;

    /// The longest text that is made or accepted, in bytes.
    fn max_length(&self) -> usize;

    /// The largest payload that fits for a record without an owner or a scope, in bytes, whatever its bytes are.
    fn max_payload(&self) -> usize;

    /// The text of a session, bound to its scope. It holds the contents whole. The characters are those that
    /// [`SessionKey::parse`](cloakroom_core::SessionKey::parse) accepts: letters, digits and `-_.~`.
    ///
    /// # Errors
    /// `TooLarge` with both sizes when the text would be over [`max_length`](Self::max_length).
    fn seal(&self, scope: Option<&Scope>, contents: &Contents) -> Result<Box<str>>;

    /// What a text holds; `None` unless it was sealed here for that scope. All reasons look alike from outside. Expiry
    /// is not looked at.
    fn open(&self, scope: Option<&Scope>, text: &str) -> Option<Contents>;
}
