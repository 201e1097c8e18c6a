mod checked;
mod fields;
mod json;
#[cfg(feature = "bincode")]
mod tagged;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{ErrorKind, Result, SessionError};

pub(crate) use fields::{Fields, Writer};

/// The top-level member that the framework keeps for itself.
pub(crate) const RESERVED: &str = "_cloakroom";

/// How the fields of a session are written. All formats hold the same data model, and each is read whatever format
/// is configured for writing, so that a running site can change it.
///
/// First bytes of payloads are registered here: 0x01–0x08 formats; 0x10–0x1F compression; 0x80–0x8F seals. None of
/// them begins a JSON text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A plain JSON object, readable by any other tool.
    #[default]
    Json,
    /// MessagePack values: smaller than JSON.
    #[cfg(feature = "messagepack")]
    MessagePack,
    /// CBOR values.
    #[cfg(feature = "cbor")]
    Cbor,
    /// bincode values in a tagged form. The crate is no longer developed; prefer MessagePack.
    #[cfg(feature = "bincode")]
    Bincode,
}

impl Format {
    /// The name used in settings and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            #[cfg(feature = "messagepack")]
            Self::MessagePack => "messagepack",
            #[cfg(feature = "cbor")]
            Self::Cbor => "cbor",
            #[cfg(feature = "bincode")]
            Self::Bincode => "bincode",
        }
    }

    /// The first byte of a payload; JSON has none of its own.
    const fn tag(self) -> Option<u8> {
        match self {
            Self::Json => None,
            #[cfg(feature = "messagepack")]
            Self::MessagePack => Some(0x01),
            #[cfg(feature = "cbor")]
            Self::Cbor => Some(0x02),
            #[cfg(feature = "bincode")]
            Self::Bincode => Some(0x03),
        }
    }

    /// The format a payload is in.
    fn of(payload: &[u8]) -> Option<Self> {
        match payload.first()? {
            #[cfg(feature = "messagepack")]
            0x01 => Some(Self::MessagePack),
            #[cfg(feature = "cbor")]
            0x02 => Some(Self::Cbor),
            #[cfg(feature = "bincode")]
            0x03 => Some(Self::Bincode),
            b'{' | b' ' | b'\n' | b'\r' | b'\t' => Some(Self::Json),
            _ => None,
        }
    }

    /// Encodes one value.
    pub(crate) fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>> {
        let value = checked::Value::new(value);
        match self {
            Self::Json => {
                let mut text = Vec::with_capacity(64);
                serde_json::to_writer(&mut text, &value).map_err(unfit)?;
                Ok(text)
            }
            #[cfg(feature = "messagepack")]
            Self::MessagePack => rmp_serde::to_vec(&to_value(&value)?).map_err(unfit),
            #[cfg(feature = "cbor")]
            Self::Cbor => {
                let mut bytes = Vec::new();
                ciborium::into_writer(&to_value(&value)?, &mut bytes).map_err(unfit)?;
                Ok(bytes)
            }
            #[cfg(feature = "bincode")]
            Self::Bincode => tagged::encode(&to_value(&value)?).map_err(unfit),
        }
    }

    /// Decodes one value.
    pub(crate) fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T> {
        match self {
            // One check of the text is faster than one of each string in it.
            Self::Json => {
                let text = std::str::from_utf8(bytes).map_err(damaged)?;
                serde_json::from_str(text).map_err(damaged)
            }
            #[cfg(feature = "messagepack")]
            Self::MessagePack => from_value(rmp_serde::from_slice(bytes).map_err(damaged)?),
            #[cfg(feature = "cbor")]
            Self::Cbor => from_value(ciborium::from_reader(bytes).map_err(damaged)?),
            #[cfg(feature = "bincode")]
            Self::Bincode => from_value(tagged::decode(bytes).map_err(damaged)?),
        }
    }

    /// Whether two encodings say the same.
    pub(crate) fn same(self, new: &[u8], (format, old): (Self, &[u8])) -> bool {
        if self == format {
            if new == old {
                return true;
            }
            // The same map in another order has the same length; everything else has but one compact form.
            if new.len() != old.len() || (self == Self::Json && !matches!(new.first(), Some(b'{' | b'['))) {
                return false;
            }
            // The same map in another order consists of the same bytes: look at their sums before at their sense.
            if sums(new) != sums(old) {
                return false;
            }
        }
        matches!((self.decode::<Value>(new), format.decode::<Value>(old)), (Ok(new), Ok(old)) if new == old)
    }
}

/// Sums that do not depend on the order of the bytes.
fn sums(bytes: &[u8]) -> (u64, u64) {
    let add = |(sum, squares): (u64, u64), &byte: &u8| {
        let byte = u64::from(byte);
        (sum + byte, squares + byte * byte)
    };
    bytes.iter().fold((0, 0), add)
}

#[cfg(any(feature = "messagepack", feature = "cbor", feature = "bincode"))]
fn to_value<T: Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(unfit)
}

#[cfg(any(feature = "messagepack", feature = "cbor", feature = "bincode"))]
fn from_value<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(damaged)
}

/// The serializer's message may quote the value, so only its kind is kept.
fn unfit<E>(_error: E) -> SessionError {
    SessionError::new(ErrorKind::InvalidKey, "set")
        .with_message("the value is outside the data model of sessions: null, bool, 64-bit integers, finite floats, strings, lists and string-keyed maps, at most 100 deep")
}

fn damaged<E>(_error: E) -> SessionError {
    SessionError::new(ErrorKind::Corrupted, "get")
        .with_message("the stored value does not have the requested type or is damaged")
}
