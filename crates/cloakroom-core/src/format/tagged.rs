//! bincode does not describe itself, so dynamic values are written with a tag byte each.

use bincode::config::{self, Config};
use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};
use serde_json::{Map, Number, Value};

const MAX_DEPTH: u8 = 128;

fn settings() -> impl Config {
    config::standard().with_limit::<{ 16 << 20 }>()
}

struct Tagged<'a>(&'a Value);

pub(super) fn encode(value: &Value) -> Result<Vec<u8>, EncodeError> {
    bincode::encode_to_vec(Tagged(value), settings())
}

impl Encode for Tagged<'_> {
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        match self.0 {
            Value::Null => 0_u8.encode(to),
            Value::Bool(value) => (1_u8, *value).encode(to),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => (2_u8, value).encode(to),
                (None, Some(value)) => (3_u8, value).encode(to),
                (None, None) => (4_u8, number.as_f64().unwrap_or(0.0)).encode(to),
            },
            Value::String(value) => (5_u8, value.as_str()).encode(to),
            Value::Array(values) => {
                (6_u8, values.len() as u64).encode(to)?;
                values.iter().try_for_each(|value| Tagged(value).encode(to))
            }
            Value::Object(members) => {
                (7_u8, members.len() as u64).encode(to)?;
                members.iter().try_for_each(|(name, value)| {
                    name.as_str().encode(to)?;
                    Tagged(value).encode(to)
                })
            }
        }
    }
}

struct Decoded(Value);

pub(super) fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    let (Decoded(value), read) = bincode::decode_from_slice(bytes, settings())?;
    if read != bytes.len() {
        return Err(DecodeError::Other("bytes behind the value"));
    }
    Ok(value)
}

impl<Context> Decode<Context> for Decoded {
    fn decode<D: Decoder<Context = Context>>(from: &mut D) -> Result<Self, DecodeError> {
        value(from, 0).map(Self)
    }
}

fn value<D: Decoder>(from: &mut D, depth: u8) -> Result<Value, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::Other("nested too deeply"));
    }
    Ok(match u8::decode(from)? {
        0 => Value::Null,
        1 => Value::Bool(bool::decode(from)?),
        2 => i64::decode(from)?.into(),
        3 => u64::decode(from)?.into(),
        4 => {
            let number = Number::from_f64(f64::decode(from)?);
            Value::Number(number.ok_or(DecodeError::Other("not a finite number"))?)
        }
        5 => Value::String(String::decode(from)?),
        // Lengths come from outside: nothing is reserved for them.
        6 => {
            let length = u64::decode(from)?;
            (0..length).map(|_| value(from, depth + 1)).collect::<Result<Vec<_>, _>>()?.into()
        }
        7 => {
            let length = u64::decode(from)?;
            let member = |_| Ok((String::decode(from)?, value(from, depth + 1)?));
            Value::Object((0..length).map(member).collect::<Result<Map<_, _>, DecodeError>>()?)
        }
        _ => return Err(DecodeError::Other("unknown tag")),
    })
}
