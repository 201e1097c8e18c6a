use cloakroom_core::ErrorKind;

use crate::tenant::UnknownTenant;

/// The response that takes the place of the handler's when its session could not be saved.
///
/// Adapters put it into the extensions of the response, so that an outer middleware can make a page of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The value of `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// A sentence for the user.
    pub message: &'static str,
    /// What kind of error it was.
    pub kind: ErrorKind,
}

impl Refusal {
    pub(crate) const fn of_no_tenant(answer: UnknownTenant) -> Self {
        let status = match answer {
            UnknownTenant::NotFound => 404,
            UnknownTenant::BadRequest => 400,
        };
        Self {
            status,
            retry_after: None,
            message: "There is nothing at this address.",
            kind: ErrorKind::InvalidKey,
        }
    }
}

/// What the client is told when a save at the end of its request fails. In one place, for all adapters:
///
/// | error | answer |
/// |---|---|
/// | `Gone` | 409: the session ended while the request was under way; what it wanted to keep is refused aloud |
/// | `Conflict` | 503, `Retry-After: 1`: others kept writing |
/// | `Unavailable` | 503, `Retry-After: 5` |
/// | `Corrupted` | `None`: the response goes out as it is; the log and a security event tell |
/// | `QuotaExceeded` | 503: a limit, or a full store |
/// | all others | 500 |
#[must_use]
pub fn refusal(kind: ErrorKind) -> Option<Refusal> {
    let (status, retry_after, message) = match kind {
        ErrorKind::Gone => (
            409,
            None,
            "Your session ended while this request was under way, so its changes were not kept. Please sign in again.",
        ),
        ErrorKind::Conflict => {
            (503, Some(1), "Your session is being changed by other requests. Please try again.")
        }
        ErrorKind::Unavailable => {
            (503, Some(5), "Sessions cannot be reached at the moment. Please try again shortly.")
        }
        ErrorKind::QuotaExceeded => {
            (503, None, "There is no room for another session at the moment. Please try again later.")
        }
        ErrorKind::Corrupted => return None,
        _ => (500, None, "Your session could not be saved."),
    };
    Some(Refusal { status, retry_after, message, kind })
}
