//! OTLP/JSON written straight into one buffer: keys in lower camel case, 64-bit integers as decimal strings, enumerations as
//! integers. Empty fields are left out, as the protobuf JSON mapping allows; what has a value is never null.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>.

use std::fmt;

use crate::json;
use crate::model::Value;
use crate::model::text::{Text, Utf8};

/// An object being written.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    /// Writes an object with this content.
    #[inline]
    pub(super) fn write(out: &mut Vec<u8>, content: impl FnOnce(&mut Object<'_>)) {
        out.push(b'{');
        content(&mut Object { out, is_empty: true });
        out.push(b'}');
    }

    /// Member names here need no escaping.
    #[inline]
    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(if self.is_empty { b"\"" } else { b",\"" });
        self.is_empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    #[inline]
    pub(super) fn string(&mut self, name: &str, text: &str) {
        self.name(name);
        json::string(self.out, text);
    }

    /// A string whose text comes piece by piece.
    pub(super) fn written(&mut self, name: &str, write: impl FnOnce(&mut Utf8<'_>) -> fmt::Result) {
        self.name(name);
        json::written(self.out, write);
    }

    /// A 64-bit integer, which is a string.
    #[inline]
    pub(super) fn long(&mut self, name: &str, number: impl itoa::Integer) {
        self.name(name);
        long(self.out, number);
    }

    /// An integer of 32 bits or an enumeration.
    pub(super) fn int(&mut self, name: &str, number: i64) {
        self.name(name);
        json::integer(self.out, number);
    }

    pub(super) fn bool(&mut self, name: &str, flag: bool) {
        self.name(name);
        json::boolean(self.out, flag);
    }

    pub(super) fn double(&mut self, name: &str, number: f64) {
        self.name(name);
        double(self.out, number);
    }

    pub(super) fn object(&mut self, name: &str, content: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        Object::write(self.out, content);
    }

    /// A list of whatever `each` writes.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Vec<u8>, T),
    ) {
        let mut list = self.open_list(name);
        for item in items {
            list.item(|out| each(out, item));
        }
        list.close();
    }

    /// A list of objects.
    pub(super) fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Object<'_>, T),
    ) {
        self.list(name, items, |out, item| Object::write(out, |object| each(object, item)));
    }

    /// A list whose items come one by one.
    pub(super) fn open_list(&mut self, name: &str) -> List<'_> {
        self.name(name);
        self.out.push(b'[');
        List { out: self.out, is_empty: true }
    }
}

/// A list being written.
pub(super) struct List<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl List<'_> {
    #[inline]
    pub(super) fn item(&mut self, item: impl FnOnce(&mut Vec<u8>)) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        item(self.out);
    }

    /// A `KeyValue`.
    pub(super) fn key_value(&mut self, key: &str, value: Value<'_>) {
        self.item(|out| {
            out.extend_from_slice(b"{\"key\":");
            json::string(out, key);
            close_key_value(out, value);
        });
    }

    /// A `KeyValue` whose key needs no escaping.
    pub(super) fn known_key_value(&mut self, key: &'static str, value: Value<'_>) {
        self.item(|out| {
            out.extend_from_slice(b"{\"key\":\"");
            out.extend_from_slice(key.as_bytes());
            out.push(b'"');
            close_key_value(out, value);
        });
    }

    pub(super) fn close(self) {
        self.out.push(b']');
    }
}

/// A 64-bit integer as a list's item.
#[inline]
pub(super) fn long(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.push(b'"');
    json::integer(out, number);
    out.push(b'"');
}

/// A floating point number; those that JSON lacks are strings.
pub(super) fn double(out: &mut Vec<u8>, number: f64) {
    match number {
        f64::INFINITY => out.extend_from_slice(b"\"Infinity\""),
        f64::NEG_INFINITY => out.extend_from_slice(b"\"-Infinity\""),
        _ if number.is_nan() => out.extend_from_slice(b"\"NaN\""),
        _ => json::double(out, number),
    }
}

/// The `AnyValue` of a `KeyValue`, of which zero and empty values are as much a value as any other.
#[inline]
fn close_key_value(out: &mut Vec<u8>, value: Value<'_>) {
    out.extend_from_slice(match value {
        Value::Str(_) | Value::Address(_) | Value::Id(_) => b",\"value\":{\"stringValue\":".as_slice(),
        Value::Bool(_) => b",\"value\":{\"boolValue\":",
        Value::Int(_) => b",\"value\":{\"intValue\":",
        Value::Double(_) => b",\"value\":{\"doubleValue\":",
        Value::List(_) => b",\"value\":{\"arrayValue\":",
    });
    match value {
        Value::Str(text) => json::string(out, text),
        Value::Address(address) => json::text(out, &Text::ip(address)),
        Value::Id(id) => json::text(out, &Text::hex(id)),
        Value::Bool(flag) => json::boolean(out, flag),
        Value::Int(number) => long(out, number),
        Value::Double(number) => double(out, number),
        Value::List(items) => Object::write(out, |array| {
            array.objects("values", items, |any, item| any.string("stringValue", item));
        }),
    }
    out.extend_from_slice(b"}}");
}
