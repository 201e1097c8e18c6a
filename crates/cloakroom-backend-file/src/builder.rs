//! The settings of a backend.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cloakroom_core::{Capability, Clock, ErrorKind, Result};

use crate::backend::FileSessionBackend;
use crate::error::refuse;
use crate::folder;
use crate::lock::{Gate, lock_file};
use crate::store::{Durability, Store};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is longer is for ever, and no moment lies so far ahead.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
pub(crate) const DEFAULT_MAX_PAYLOAD: usize = 16 << 20;

/// Settings of a [`FileSessionBackend`], fixed when it is opened.
///
/// ```
/// use cloakroom_backend_file::{Durability, FileSessionBackend};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path().join("sessions");
/// let backend = FileSessionBackend::builder(&folder)
///     .with_durability(Durability::Full)
///     .with_max_payload(64 * 1024)
///     .open()
///     .await?;
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FileBuilder {
    path: PathBuf,
    clock: Clock,
    durability: Durability,
    timeout: Duration,
    max_payload: usize,
}

impl FileBuilder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            clock: Clock::system(),
            durability: Durability::default(),
            timeout: DEFAULT_TIMEOUT,
            max_payload: DEFAULT_MAX_PAYLOAD,
        }
    }

    pub(crate) fn from_url(url: &str) -> Result<Self> {
        let invalid = |message| refuse(ErrorKind::InvalidConfig, "connect", message);
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("file") {
            return Err(invalid("the URL must begin with file:"));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = match path.strip_prefix("//") {
            None | Some("") => path.trim_start_matches("//"),
            Some(path) if path.starts_with('/') => path,
            Some(_) => {
                return Err(invalid("a URL of a file has no host: file:/path, file:///path or file:path"));
            }
        };
        let path = unescape(path).ok_or_else(|| invalid("a percent sign in the URL begins no escape"))?;
        let path = if path.is_empty() { folder::default_folder() } else { path.into() };
        let mut builder = Self::new(path);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            builder.durability = match parameter {
                "durability=none" => Durability::None,
                "durability=file" => Durability::File,
                "durability=full" => Durability::Full,
                _ => return Err(invalid("the URL's only parameter is durability=none, file or full")),
            };
        }
        Ok(builder)
    }

    /// Takes its time from there. The times that the file system keeps play no part.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What a write waits for (default [`Durability::File`]).
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long an operation may take, waiting included (default 10 s); then it is `Unavailable`. `count`, `sweep` and
    /// `remove_all` may take that long for each of their steps.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Accepts payloads of at most so many bytes (default 16 MiB). A file that says it holds more than that, and more than
    /// the default, is damaged.
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Opens the folder. Made when missing, for this user only, with those above it.
    ///
    /// # Errors
    /// As for [`FileSessionBackend::open`]; `InvalidConfig` too when the timeout is zero.
    pub async fn open(mut self) -> Result<FileSessionBackend> {
        self.timeout = self.timeout.min(LONGEST_TIMEOUT);
        if self.timeout.is_zero() {
            return Err(refuse(ErrorKind::InvalidConfig, "open", "the timeout is zero"));
        }
        let timeout = self.timeout;
        let opened = tokio::task::spawn_blocking(move || self.open_now());
        match tokio::time::timeout(timeout, opened).await {
            Ok(opened) => opened
                .unwrap_or_else(|_| Err(refuse(ErrorKind::Unexpected, "open", "the work was not finished"))),
            Err(_) => Err(refuse(ErrorKind::Unavailable, "open", "the disk did not answer in time")),
        }
    }

    fn open_now(self) -> Result<FileSessionBackend> {
        let (layout, anchor) = folder::prepare(&self.path)?;
        // Better now than at the first write.
        let probe = lock_file(&layout.lock("open", 0), Gate::Exclusive, Some(Instant::now() + self.timeout));
        probe.map_err(|fault| fault.into_session("open"))?;
        let capability =
            Capability::store().with_shared(true).with_durable(true).with_max_payload(self.max_payload);
        Ok(FileSessionBackend::from_store(Store::new(
            layout,
            anchor,
            self.clock,
            capability,
            self.durability,
            self.timeout,
        )))
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        let digits = std::str::from_utf8(digits).ok()?.to_ascii_lowercase();
        bytes.extend(crate::path::unhex::<1>(&digits)?);
        rest = behind;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cloakroom_core::ErrorKind;

    use super::FileBuilder;
    use crate::folder::default_folder;
    use crate::store::Durability;

    #[test]
    fn url_of_any_form_names_its_folder() {
        for (url, path) in [
            ("file:/var/lib/x", "/var/lib/x"),
            ("FILE:///var/lib/x", "/var/lib/x"),
            ("file:sessions", "sessions"),
            ("file:./a%20b%2F%c3%a9?durability=none", "./a b/é"),
        ] {
            assert_eq!(FileBuilder::from_url(url).expect(url).path, Path::new(path), "{url}");
        }
        for url in ["file:", "file://", "file:?durability=full"] {
            assert_eq!(FileBuilder::from_url(url).expect(url).path, default_folder(), "{url}");
        }
    }

    #[test]
    fn url_with_durability_chooses_it() {
        for (url, durability) in [
            ("file:x", Durability::File),
            ("file:x?durability=none", Durability::None),
            ("file:x?durability=file&", Durability::File),
            ("file:x?durability=full", Durability::Full),
        ] {
            assert_eq!(FileBuilder::from_url(url).expect(url).durability, durability, "{url}");
        }
    }

    #[test]
    fn url_not_understood_invalid_config() {
        for url in [
            "",
            "x",
            "sqlite:x",
            "file://host/x",
            "file://x",
            "file:x?durability=most",
            "file:x?durability",
            "file:x?sync=full",
            "file:%",
            "file:%2",
            "file:%zz",
            "file:%00",
            "file:%ff",
        ] {
            let error = FileBuilder::from_url(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
        }
    }
}
