use std::fmt::Write;
use std::time::Duration;

use cloakroom_core::{ErrorKind, Result, SessionError, SessionKey, Timestamp};

use crate::cookie::CookieConfig;
use crate::date::HttpDate;

/// What browsers keep of name and value together, in octets (ST-50).
pub(crate) const MAX_PAIR: usize = 4096;

/// The longest life of a cookie: 400 days (ST-52). Browsers cut what is longer.
pub const MAX_AGE: Duration = Duration::from_secs(400 * 86_400);

impl CookieConfig {
    /// The value of a `Set-Cookie` header that gives the client its key: for `lifetime`, or with `None` until the
    /// browser closes.
    ///
    /// # Errors
    /// `TooLarge` when name and key are longer than the 4,096 octets that browsers keep; `Unexpected` for a key that
    /// is no cookie value, which no backend should make.
    pub fn set(&self, key: &SessionKey, lifetime: Option<Duration>, now: Timestamp) -> Result<String> {
        let value = key.expose();
        if self.name().len() + value.len() > MAX_PAIR {
            return Err(SessionError::new(ErrorKind::TooLarge, "set cookie")
                .with_message("browsers keep 4096 octets of name and value"));
        }
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        if value.is_empty() || !value.bytes().all(allowed) {
            return Err(SessionError::new(ErrorKind::Unexpected, "set cookie")
                .with_message("the backend returned a key that is no cookie value"));
        }
        let mut line = String::with_capacity(self.name().len() + value.len() + self.attributes().len() + 64);
        line.push_str(self.name());
        line.push('=');
        line.push_str(value);
        line.push_str(self.attributes());
        if let Some(lifetime) = lifetime {
            // Rounded up: a cookie may outlive its session by less than a second, never the other way round.
            let lifetime = lifetime.min(MAX_AGE);
            let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
            let expires = HttpDate::new(now + Duration::from_secs(seconds));
            let _ = write!(line, "; Max-Age={seconds}; Expires={expires}");
        }
        Ok(line)
    }

    /// The value of a `Set-Cookie` header that makes the client forget the cookie. It repeats all that identifies the
    /// cookie, or the browser would keep it (ST-57).
    #[must_use]
    pub fn removal(&self) -> String {
        let expires = HttpDate::new(Timestamp::default());
        format!("{}={}; Max-Age=0; Expires={expires}", self.name(), self.attributes())
    }
}
