//! OTLP/JSON written straight into one buffer: keys in lower camel case, 64-bit integers as decimal strings, enumerations as
//! integers. Empty fields are left out, as the protobuf JSON mapping allows; what has a value is never null.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>.

use std::fmt::Display;
use std::io::Write as _;

use crate::model::Value;
use crate::model::text::Text;

/// An object being written.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    /// Writes an object with this content.
    pub(super) fn write(out: &mut Vec<u8>, content: impl FnOnce(&mut Object<'_>)) {
        out.push(b'{');
        content(&mut Object { out, is_empty: true });
        out.push(b'}');
    }

    /// Member names here need no escaping.
    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(if self.is_empty { b"\"" } else { b",\"" });
        self.is_empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn string(&mut self, name: &str, text: &str) {
        self.name(name);
        string(self.out, text);
    }

    /// A 64-bit integer, which is a string.
    pub(super) fn long(&mut self, name: &str, number: impl Display) {
        self.name(name);
        long(self.out, number);
    }

    /// An integer of 32 bits or an enumeration.
    pub(super) fn int(&mut self, name: &str, number: i64) {
        self.name(name);
        // Writing to a vector cannot fail.
        _ = write!(self.out, "{number}");
    }

    pub(super) fn bool(&mut self, name: &str, flag: bool) {
        self.name(name);
        self.out.extend_from_slice(if flag { b"true" } else { b"false" });
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

    /// An `AnyValue`, of which zero and empty values are as much a value as any other.
    pub(super) fn any_value(&mut self, name: &str, value: Value<'_>) {
        self.object(name, |any| match value {
            Value::Str(text) => any.string("stringValue", text),
            Value::Address(address) => any.quoted("stringValue", &Text::ip(address)),
            Value::Id(id) => any.quoted("stringValue", &Text::hex(id)),
            Value::Bool(flag) => any.bool("boolValue", flag),
            Value::Int(number) => any.long("intValue", number),
            Value::Double(number) => any.double("doubleValue", number),
            Value::List(items) => any.object("arrayValue", |array| {
                array.objects("values", items, |any, item| any.string("stringValue", item));
            }),
        });
    }

    /// Text that needs no escaping.
    fn quoted(&mut self, name: &str, text: &Text) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
    }
}

/// A list being written.
pub(super) struct List<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl List<'_> {
    pub(super) fn item(&mut self, item: impl FnOnce(&mut Vec<u8>)) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        item(self.out);
    }

    /// A `KeyValue`.
    pub(super) fn key_value(&mut self, key: &str, value: Value<'_>) {
        self.item(|out| {
            Object::write(out, |object| {
                object.string("key", key);
                object.any_value("value", value);
            });
        });
    }

    pub(super) fn close(self) {
        self.out.push(b']');
    }
}

/// A 64-bit integer as a list's item.
pub(super) fn long(out: &mut Vec<u8>, number: impl Display) {
    // Writing to a vector cannot fail.
    _ = write!(out, "\"{number}\"");
}

/// A floating point number; those that JSON lacks are strings.
pub(super) fn double(out: &mut Vec<u8>, number: f64) {
    // Writing to a vector cannot fail.
    _ = match number {
        f64::INFINITY => out.write_all(b"\"Infinity\""),
        f64::NEG_INFINITY => out.write_all(b"\"-Infinity\""),
        _ if number.is_nan() => out.write_all(b"\"NaN\""),
        _ => write!(out, "{number:?}"),
    };
}

fn string(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing a string to a vector cannot fail.
        _ = serde_json::to_writer(out, text);
    }
}
