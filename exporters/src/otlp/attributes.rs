//! Attributes, Resources and the scope in their OTLP form.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;

use crate::model::{Resource, SCOPE_NAME, SCOPE_VERSION, Value};

pub(super) fn key_value(key: &str, value: Value<'_>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any_value(value)), ..KeyValue::default() }
}

pub(super) fn any_value(value: Value<'_>) -> AnyValue {
    let any = match value {
        Value::Str(text) => Any::StringValue(text.to_owned()),
        Value::Int(number) => Any::IntValue(number),
        Value::Double(number) => Any::DoubleValue(number),
        Value::Bool(flag) => Any::BoolValue(flag),
        Value::Address(_) | Value::Id(_) => Any::StringValue(value.to_string()),
        Value::List(items) => Any::ArrayValue(ArrayValue {
            values: items.iter().map(|item| any_value(Value::Str(item))).collect(),
        }),
    };
    AnyValue { value: Some(any) }
}

pub(super) fn resource(resource: &Resource) -> OtlpResource {
    OtlpResource {
        attributes: resource.attributes().map(|(key, value)| key_value(key, value)).collect(),
        ..OtlpResource::default()
    }
}

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: SCOPE_NAME.to_owned(),
        version: SCOPE_VERSION.to_owned(),
        ..InstrumentationScope::default()
    }
}
