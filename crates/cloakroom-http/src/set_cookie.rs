use std::fmt::Write;
use std::time::Duration;

use cloakroom_core::{ErrorKind, Result, SessionError, SessionKey, Timestamp};

use crate::cookie::CookieConfig;
use crate::date::HttpDate;
use crate::split::PART_MARK;

/// What browsers keep of name and value together, in octets (ST-50).
pub(crate) const MAX_PAIR: usize = 4096;

/// The longest life of a cookie: 400 days (ST-52). Browsers cut what is longer.
pub const MAX_AGE: Duration = Duration::from_secs(400 * 86_400);

impl CookieConfig {
    /// The value of a `Set-Cookie` header that gives the client its key: for `lifetime`, or with `None` until the
    /// browser closes. Of a key that is split, the first part; the rest is in
    /// [`Outcome::further`](crate::Outcome::further).
    ///
    /// # Errors
    /// `TooLarge`, with both sizes, when name and key are longer than the 4,096 octets that browsers keep, or than fits
    /// into as many cookies as it may be [split](Self::split) over; `Unexpected` for a key that is no cookie value, which
    /// no backend should make.
    pub fn set(&self, key: &SessionKey, lifetime: Option<Duration>, now: Timestamp) -> Result<String> {
        let value = key.expose();
        let Some(parts) = self.parts(value) else {
            let (size, most) = (self.name().len() + value.len(), self.name().len() + self.capacity());
            return Err(SessionError::new(ErrorKind::TooLarge, "set cookie")
                .with_message(format!("{size} octets of name and value, at most {most} fit")));
        };
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        if value.is_empty() || !value.bytes().all(allowed) {
            return Err(SessionError::new(ErrorKind::Unexpected, "set cookie")
                .with_message("the backend returned a key that is no cookie value"));
        }
        Ok(match parts.count() {
            1 => self.line("", "", value, lifetime, now),
            count => self.line("", &format!("{count}{PART_MARK}"), parts.get(0), lifetime, now),
        })
    }

    /// A cookie of that name with `suffix` behind, and that value with `mark` before it.
    pub(crate) fn line(
        &self,
        suffix: &str,
        mark: &str,
        value: &str,
        lifetime: Option<Duration>,
        now: Timestamp,
    ) -> String {
        let names = self.name().len() + suffix.len() + mark.len();
        let mut line = String::with_capacity(names + value.len() + self.attributes().len() + 64);
        line.push_str(self.name());
        line.push_str(suffix);
        line.push('=');
        line.push_str(mark);
        line.push_str(value);
        line.push_str(self.attributes());
        if let Some(lifetime) = lifetime {
            // Rounded up: a cookie may outlive its session by less than a second, never the other way round.
            let lifetime = lifetime.min(MAX_AGE);
            let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
            let expires = HttpDate::new(now + Duration::from_secs(seconds));
            let _ = write!(line, "; Max-Age={seconds}; Expires={expires}");
        }
        line
    }

    /// The value of a `Set-Cookie` header that makes the client forget the cookie. It repeats all that identifies the
    /// cookie, or the browser would keep it (ST-57).
    #[must_use]
    pub fn removal(&self) -> String {
        self.removal_of("")
    }

    pub(crate) fn removal_of(&self, suffix: &str) -> String {
        let expires = HttpDate::new(Timestamp::default());
        format!("{}{suffix}={}; Max-Age=0; Expires={expires}", self.name(), self.attributes())
    }
}
