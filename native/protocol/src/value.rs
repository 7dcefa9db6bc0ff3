use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use std::fmt;

/// Deepest nesting that is read; the messages need four.
pub const MAX_DEPTH: usize = 16;

/// A CBOR body. Maps keep the order they came in; of a repeated key the first one counts.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// Any CBOR integer: -2^64 to 2^64-1.
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(String, Value)>),
}

/// Why bytes are no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError(&'static str);

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ValueError {}

impl From<minicbor::decode::Error> for ValueError {
    fn from(_: minicbor::decode::Error) -> Self {
        ValueError("the body is not well-formed CBOR")
    }
}

impl Value {
    pub fn map(fields: Vec<(&str, Value)>) -> Value {
        Value::Map(
            fields
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    }

    /// Reads exactly one item that fills `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Value, ValueError> {
        let mut decoder = Decoder::new(bytes);
        let value = read(&mut decoder, 0)?;
        if decoder.position() != bytes.len() {
            return Err(ValueError("bytes follow the body"));
        }
        Ok(value)
    }

    /// Keys are written shortest first, then by their bytes, as the host's library does, so that equal bodies are equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::with_capacity(64));
        let written = write(&mut encoder, self);
        // A Vec takes every byte, so there is no error to have.
        debug_assert!(written.is_ok());
        encoder.into_writer()
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(fields) => fields
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }
}

fn read(decoder: &mut Decoder<'_>, depth: usize) -> Result<Value, ValueError> {
    if depth > MAX_DEPTH {
        return Err(ValueError("the body is nested too deeply"));
    }
    Ok(match decoder.datatype()? {
        Type::Null | Type::Undefined => {
            decoder.skip()?;
            Value::Null
        }
        Type::Bool => Value::Bool(decoder.bool()?),
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64
        | Type::Int => Value::Int(i128::from(decoder.int()?)),
        Type::F16 => Value::Float(half(decoder)?),
        Type::F32 => Value::Float(f64::from(decoder.f32()?)),
        Type::F64 => Value::Float(decoder.f64()?),
        Type::String => Value::Text(decoder.str()?.to_owned()),
        Type::Bytes => Value::Bytes(decoder.bytes()?.to_vec()),
        Type::Array => {
            let mut items = Vec::new();
            for _ in 0..decoder.array()?.unwrap_or(0) {
                items.push(read(decoder, depth + 1)?);
            }
            Value::Array(items)
        }
        Type::Map => {
            let mut fields = Vec::new();
            for _ in 0..decoder.map()?.unwrap_or(0) {
                let key = decoder.str()?.to_owned();
                fields.push((key, read(decoder, depth + 1)?));
            }
            Value::Map(fields)
        }
        _ => return Err(ValueError("the body holds a type that is not used here")),
    })
}

/// A half-precision float; minicbor reads them only with a dependency more.
fn half(decoder: &mut Decoder<'_>) -> Result<f64, ValueError> {
    let at = decoder.position();
    let input = decoder.input();
    let (Some(high), Some(low)) = (input.get(at + 1), input.get(at + 2)) else {
        return Err(ValueError("the body is not well-formed CBOR"));
    };
    decoder.set_position(at + 3);
    let bits = u16::from_be_bytes([*high, *low]);
    let exponent = i32::from((bits >> 10) & 0x1f);
    let mantissa = f64::from(bits & 0x3ff);
    let size = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    };
    Ok(if bits & 0x8000 == 0 { size } else { -size })
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write(encoder: &mut Encoder<Vec<u8>>, value: &Value) -> Written {
    match value {
        Value::Null => encoder.null()?,
        Value::Bool(flag) => encoder.bool(*flag)?,
        Value::Int(number) => encoder.int(clamp(*number))?,
        Value::Float(number) => encoder.f64(*number)?,
        Value::Text(text) => encoder.str(text)?,
        Value::Bytes(bytes) => encoder.bytes(bytes)?,
        Value::Array(items) => {
            encoder.array(items.len() as u64)?;
            return items.iter().try_for_each(|item| write(encoder, item));
        }
        Value::Map(fields) => return write_map(encoder, fields),
    };
    Ok(())
}

fn write_map(encoder: &mut Encoder<Vec<u8>>, fields: &[(String, Value)]) -> Written {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    encoder.map(sorted.len() as u64)?;
    for (key, value) in sorted {
        encoder.str(key)?;
        write(encoder, value)?;
    }
    Ok(())
}

/// CBOR has no integer outside -2^64 to 2^64-1, and no message one near it.
fn clamp(number: i128) -> minicbor::data::Int {
    let lowest = -1 - i128::from(u64::MAX);
    let within = number.clamp(lowest, i128::from(u64::MAX));
    minicbor::data::Int::try_from(within).unwrap_or_else(|_| minicbor::data::Int::from(0u8))
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Bool(flag)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Int(i128::from(number))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(i128::from(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_wire() {
        let body = Value::map(vec![
            ("e", Value::from("exit")),
            ("code", Value::from(137u64)),
            ("clock", Value::from(i64::MIN)),
            ("bytes", Value::Bytes(vec![0, 255])),
            (
                "list",
                Value::Array(vec![Value::Null, Value::Bool(true), Value::Float(1.5)]),
            ),
        ]);
        let read = Value::decode(&body.encode()).expect("own bytes");
        assert_eq!(read.get("bytes"), body.get("bytes"));
        assert_eq!(read.get("clock"), body.get("clock"));
        assert_eq!(read.get("list"), body.get("list"));
        assert_eq!(read.encode(), body.encode());
    }

    #[test]
    fn half_and_single_floats_are_read() {
        assert_eq!(Value::decode(&[0xf9, 0x3e, 0x00]), Ok(Value::Float(1.5)));
        assert_eq!(Value::decode(&[0xf9, 0xc0, 0x00]), Ok(Value::Float(-2.0)));
        assert_eq!(
            Value::decode(&[0xfa, 0x3f, 0xc0, 0, 0]),
            Ok(Value::Float(1.5))
        );
    }

    #[test]
    fn deep_nesting_endless_lists_and_trailing_bytes_are_refused() {
        assert!(Value::decode(&[0x81; 60_000]).is_err());
        assert!(Value::decode(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(Value::decode(&[0x9f, 0x01, 0xff]).is_err());
        assert!(Value::decode(&[0x01, 0x01]).is_err());
        assert!(Value::decode(&[]).is_err());
    }
}
