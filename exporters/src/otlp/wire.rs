//! Protobuf written straight into one buffer.
//!
//! Building the generated types of `opentelemetry-proto` first costs three times as much per event, nearly all of it in
//! allocating and freeing strings. The tests decode what is written here with those types and compare.
//!
//! Field numbers: `opentelemetry/proto/{common,resource,logs}/v1/*.proto`, 1.11.

use std::fmt;

use prost::encoding::{encode_varint, encoded_len_varint};

use crate::model::Value;
use crate::model::text::{Text, Utf8};

const KEY_VALUE_KEY: u32 = 1;
const KEY_VALUE_VALUE: u32 = 2;
/// The field of an `AnyValue` that holds a string.
pub(super) const ANY_STRING: u32 = 1;
const ANY_BOOL: u32 = 2;
const ANY_INT: u32 = 3;
const ANY_DOUBLE: u32 = 4;
const ANY_ARRAY: u32 = 5;
const ARRAY_VALUES: u32 = 1;

/// How a field's value is written.
#[derive(Clone, Copy)]
enum WireType {
    Varint = 0,
    SixtyFourBit = 1,
    LengthDelimited = 2,
}

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

/// Writes the key of a field.
#[inline]
fn key(out: &mut Vec<u8>, field: u32, kind: WireType) {
    number(out, u64::from(field) << 3 | kind as u64);
}

/// Writes a base 128 varint. Nearly all of an event's are lengths and keys of one byte.
#[inline]
fn number(out: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(byte @ ..0x80) => out.push(byte),
        _ => encode_varint(number, out),
    }
}

/// Writes a field whose content is written by `content`, with its length before it.
pub(super) fn message(out: &mut Vec<u8>, field: u32, size: Size, content: impl FnOnce(&mut Vec<u8>)) {
    key(out, field, WireType::LengthDelimited);
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
#[inline]
pub(super) fn string(out: &mut Vec<u8>, field: u32, text: &str) {
    bytes(out, field, text.as_bytes());
}

#[inline]
fn bytes(out: &mut Vec<u8>, field: u32, content: &[u8]) {
    key(out, field, WireType::LengthDelimited);
    number(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Writes a string that is shorter than 128 bytes as a rule.
pub(super) fn written(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Utf8<'_>) -> fmt::Result) {
    // Writing to a vector cannot fail.
    message(out, field, Size::Small, |out| _ = write(&mut Utf8(out)));
}

/// Writes an integer unless it is zero.
pub(super) fn varint(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        key(out, field, WireType::Varint);
        number(out, value);
    }
}

/// Writes an integer of eight bytes unless it is zero.
pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        key(out, field, WireType::SixtyFourBit);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Writes a `KeyValue`, of which zero and empty values are as much a value as any other.
///
/// Inlined: where name and kind of the value are known, little is left of it.
#[expect(clippy::inline_always, reason = "see above")]
#[inline(always)]
pub(super) fn key_value(out: &mut Vec<u8>, field: u32, name: &str, value: Value<'_>) {
    match value {
        Value::Str(text) => text_value(out, field, name, text.as_bytes()),
        Value::Address(address) => text_value(out, field, name, Text::ip(address).as_bytes()),
        Value::Id(id) => text_value(out, field, name, Text::hex(id).as_bytes()),
        Value::Bool(flag) => number_value(out, field, name, ANY_BOOL, flag.into()),
        Value::Int(value) => number_value(out, field, name, ANY_INT, value.cast_unsigned()),
        Value::Double(value) => {
            open(out, field, name, 1 + size_of::<f64>());
            key(out, ANY_DOUBLE, WireType::SixtyFourBit);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::List(items) => list_value(out, field, name, items),
    }
}

/// Writes a `KeyValue` up to the content of its value, which takes so many bytes.
#[inline]
fn open(out: &mut Vec<u8>, field: u32, name: &str, content: usize) {
    let value = 1 + encoded_len_varint(content as u64) + content;
    let length = 1 + encoded_len_varint(name.len() as u64) + name.len() + value;
    key(out, field, WireType::LengthDelimited);
    number(out, length as u64);
    string(out, KEY_VALUE_KEY, name);
    key(out, KEY_VALUE_VALUE, WireType::LengthDelimited);
    number(out, content as u64);
}

#[inline]
fn text_value(out: &mut Vec<u8>, field: u32, name: &str, text: &[u8]) {
    open(out, field, name, 1 + encoded_len_varint(text.len() as u64) + text.len());
    bytes(out, ANY_STRING, text);
}

#[inline]
fn number_value(out: &mut Vec<u8>, field: u32, name: &str, kind: u32, value: u64) {
    open(out, field, name, 1 + encoded_len_varint(value));
    key(out, kind, WireType::Varint);
    number(out, value);
}

fn list_value(out: &mut Vec<u8>, field: u32, name: &str, items: &[String]) {
    message(out, field, Size::Medium, |out| {
        string(out, KEY_VALUE_KEY, name);
        message(out, KEY_VALUE_VALUE, Size::Medium, |out| {
            message(out, ANY_ARRAY, Size::Medium, |out| {
                for item in items {
                    message(out, ARRAY_VALUES, Size::Small, |out| string(out, ANY_STRING, item));
                }
            });
        });
    });
}
