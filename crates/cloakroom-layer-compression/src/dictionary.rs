use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use cloakroom_core::{ErrorKind, Filter, Result, SessionBackend, SessionError};
use zstd::zstd_safe::{self, DDict};

use crate::compressor::Tag;

/// Records asked for at a time.
const PAGE: usize = 256;
/// Bytes of samples kept, at most.
const MOST_SAMPLED: usize = 32 << 20;
const SIZES: std::ops::RangeInclusive<usize> = 256..=1 << 20;

/// What many sessions have in common, so that none has to say it.
///
/// Names of fields, usual values and the shape of lists make most of a small session; with a dictionary of them, a session of
/// 500 bytes compresses to a fraction where it hardly would alone.
///
/// ```
/// use cloakroom_core::{Filter, InMemorySessionBackend, Record, SessionBackend, SessionKey, Write};
/// use cloakroom_layer_compression::{CompressedSessionBackend, ZstdCompressor, ZstdDictionary};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let session = |n: u32| format!(r#"{{"user":{n},"theme":"dark","cart":[{n},{}],"locale":"en-GB","editor":"vim","zone":"Europe/London"}}"#, n * 7);
/// # let store = InMemorySessionBackend::new();
/// # for n in 0..500 {
/// #     let record = Record::new(session(n), store.clock().now());
/// #     store.write(&SessionKey::generate()?, record, Write::create()).await?;
/// # }
/// let samples = ZstdDictionary::sample(&store, &Filter::everywhere(), 10_000).await?;
/// let dictionary = ZstdDictionary::train(samples, 16 * 1024)?; // takes a moment: not in a request
/// std::fs::write(std::env::temp_dir().join("sessions.dict"), dictionary.as_bytes()).unwrap();
///
/// let zstd = ZstdCompressor::new().with_dictionary(dictionary)?;
/// let backend = CompressedSessionBackend::new(store.clone(), zstd);
/// let key = SessionKey::generate()?;
/// let record = Record::new(session(1234), backend.clock().now());
/// let plain = record.payload.len();
/// backend.write(&key, record, Write::create()).await?;
/// assert!(store.read(&key).await?.unwrap().payload.len() * 2 < plain);
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
///
/// # Keep it
/// Sessions that were compressed with a dictionary can only be read with it: store it where all processes find it, with the
/// same care as the sessions, for it holds pieces of those that it was trained from. `Debug` shows its id only.
#[derive(Clone)]
pub struct ZstdDictionary(Arc<Inner>);

struct Inner {
    id: u32,
    bytes: Box<[u8]>,
    prepared: DDict<'static>,
}

impl ZstdDictionary {
    /// A dictionary of at most that many bytes, from what sessions look like uncompressed. 16 KiB are plenty; a hundred
    /// times as much in samples is a good measure, and a few hundred of them the least.
    ///
    /// It keeps a processor busy for some milliseconds for each hundred kilobytes of samples: inside an asynchronous
    /// program call it in `spawn_blocking`.
    ///
    /// # Errors
    /// `InvalidConfig` when the size is not within 256 bytes and 1 MiB, or when the samples are too few or have nothing in
    /// common.
    pub fn train<S: AsRef<[u8]>>(samples: impl IntoIterator<Item = S>, size: usize) -> Result<Self> {
        if !SIZES.contains(&size) {
            return Err(invalid("train", "dictionaries have 256 bytes to 1 MiB"));
        }
        let (mut data, mut lengths) = (Vec::new(), Vec::new());
        for sample in samples {
            let sample = sample.as_ref();
            if data.len() + sample.len() > MOST_SAMPLED {
                break;
            }
            data.extend_from_slice(sample);
            lengths.push(sample.len());
        }
        let mut dictionary = Vec::with_capacity(size);
        let trained = zstd_safe::train_from_buffer(&mut dictionary, &data, &lengths);
        trained.map_err(|_| invalid("train", "the samples are too few or have nothing in common"))?;
        Self::from_bytes(&dictionary)
    }

    /// Uncompressed payloads of at most `most` sessions to train from, 32 MiB in all. Ask a backend with this crate's layer, or
    /// one without compressed sessions: those that are compressed are left out. Where sessions are encrypted, ask a backend
    /// that decrypts them: what is encrypted has nothing in common, and a dictionary of it is of no use.
    ///
    /// Costs one `scan` for each 256 sessions.
    ///
    /// # Errors
    /// Those of `scan`.
    pub async fn sample<B: SessionBackend>(backend: &B, filter: &Filter, most: usize) -> Result<Vec<Bytes>> {
        let filter = filter.clone().with_payload();
        let (mut samples, mut bytes, mut after) = (Vec::new(), 0, None);
        loop {
            let page = backend.scan(&filter, after, PAGE).await?;
            for entry in page.entries {
                let payload = entry.record.payload;
                if samples.len() >= most || bytes + payload.len() > MOST_SAMPLED {
                    return Ok(samples);
                }
                if payload.first().is_some_and(|&first| !Tag::is_taken(first)) {
                    bytes += payload.len();
                    samples.push(payload);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(samples);
            }
        }
    }

    /// One that was trained before, here or by `zstd --train`.
    ///
    /// # Errors
    /// `InvalidConfig` for what is no dictionary with an id.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let id = zstd_safe::get_dict_id_from_dict(bytes);
        let id = id.ok_or_else(|| invalid("open", "this is no zstd dictionary with an id"))?;
        let prepared =
            DDict::try_create(bytes).ok_or_else(|| invalid("open", "the dictionary is damaged"))?;
        Ok(Self(Arc::new(Inner { id: id.get(), bytes: bytes.into(), prepared })))
    }

    /// What to keep, for [`from_bytes`](Self::from_bytes).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The number by which compressed sessions name it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id
    }

    pub(crate) fn prepared(&self) -> &DDict<'static> {
        &self.0.prepared
    }
}

impl fmt::Debug for ZstdDictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZstdDictionary({})", self.0.id)
    }
}

fn invalid(operation: &'static str, message: &'static str) -> SessionError {
    SessionError::new(ErrorKind::InvalidConfig, operation).with_message(message)
}
