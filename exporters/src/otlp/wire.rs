//! Protobuf written straight into one buffer.
//!
//! Building the generated types of `opentelemetry-proto` first costs three times as much per event, nearly all of it in
//! allocating and freeing strings. The tests decode what is written here with those types and compare.
//!
//! Field numbers: `opentelemetry/proto/{common,resource,logs}/v1/*.proto`, 1.11.

use std::fmt::Display;
use std::io::Write as _;
use std::net::IpAddr;

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use crate::model::Value;

const KEY_VALUE_KEY: u32 = 1;
const KEY_VALUE_VALUE: u32 = 2;
/// The field of an `AnyValue` that holds a string.
pub(super) const ANY_STRING: u32 = 1;
const ANY_BOOL: u32 = 2;
const ANY_INT: u32 = 3;
const ANY_DOUBLE: u32 = 4;
const ANY_ARRAY: u32 = 5;
const ARRAY_VALUES: u32 = 1;

/// How many bytes a message's length is expected to take; a wrong guess costs a move of the message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Size {
    /// Below 128 bytes.
    Small = 1,
    /// Below 16 KiB.
    Medium = 2,
    /// Below 2 MiB.
    Large = 3,
}

/// Writes a field whose content is written by `content`, with its length before it.
pub(super) fn message(out: &mut Vec<u8>, field: u32, size: Size, content: impl FnOnce(&mut Vec<u8>)) {
    encode_key(field, WireType::LengthDelimited, out);
    let start = out.len();
    let guess = size as usize;
    out.resize(start + guess, 0);
    content(out);
    let end = out.len();
    let length = (end - start - guess) as u64;
    let width = encoded_len_varint(length);
    if width != guess {
        out.resize(end + width.saturating_sub(guess), 0);
        out.copy_within(start + guess..end, start + width);
        out.truncate(end + width - guess);
    }
    encode_varint(length, &mut &mut out[start..start + width]);
}

/// Writes a string, also an empty one.
pub(super) fn string(out: &mut Vec<u8>, field: u32, text: &str) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Writes a string that is shorter than 128 bytes as a rule.
pub(super) fn display(out: &mut Vec<u8>, field: u32, text: impl Display) {
    // Writing to a vector cannot fail.
    message(out, field, Size::Small, |out| _ = write!(out, "{text}"));
}

/// Writes an integer unless it is zero.
pub(super) fn varint(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        encode_key(field, WireType::Varint, out);
        encode_varint(number, out);
    }
}

/// Writes an integer of eight bytes unless it is zero.
pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        encode_key(field, WireType::SixtyFourBit, out);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Writes a `KeyValue`.
pub(super) fn key_value(out: &mut Vec<u8>, field: u32, key: &str, value: Value<'_>) {
    message(out, field, Size::Small, |out| {
        string(out, KEY_VALUE_KEY, key);
        message(out, KEY_VALUE_VALUE, Size::Small, |out| any_value(out, value));
    });
}

/// Writes the content of an `AnyValue`, of which zero and empty values are as much a value as any other.
pub(super) fn any_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Str(text) => string(out, ANY_STRING, text),
        Value::Address(address) => message(out, ANY_STRING, Size::Small, |out| ip(out, address)),
        Value::Id(id) => message(out, ANY_STRING, Size::Small, |out| hex(out, id)),
        Value::Bool(flag) => {
            encode_key(ANY_BOOL, WireType::Varint, out);
            encode_varint(flag.into(), out);
        }
        Value::Int(number) => {
            encode_key(ANY_INT, WireType::Varint, out);
            encode_varint(number.cast_unsigned(), out);
        }
        Value::Double(number) => {
            encode_key(ANY_DOUBLE, WireType::SixtyFourBit, out);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Value::List(items) => message(out, ANY_ARRAY, Size::Small, |out| {
            for item in items {
                message(out, ARRAY_VALUES, Size::Small, |out| string(out, ANY_STRING, item));
            }
        }),
    }
}

/// Writes an address. IPv4 by hand: four of them are in each event, and the formatting machinery costs more than all else of an attribute.
pub(super) fn ip(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(v4) = address else {
        // Writing to a vector cannot fail.
        _ = write!(out, "{address}");
        return;
    };
    for (index, octet) in v4.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        if octet >= 100 {
            out.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            out.push(b'0' + octet / 10 % 10);
        }
        out.push(b'0' + octet % 10);
    }
}

/// Writes 16 hexadecimal digits.
pub(super) fn hex(out: &mut Vec<u8>, id: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in id.to_be_bytes() {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}
