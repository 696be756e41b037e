//! Events as log records in OTLP/JSON.

use super::encode_logs::group;
use super::json::Object;
use crate::batch::{self, Slice};
use crate::model::{Event, EventBatch, Resource, SCHEMA_URL, SCOPE_NAME, SCOPE_VERSION};

/// About the size of a closed event, in bytes.
const BYTES_PER_EVENT: usize = 2200;

/// One `ExportLogsServiceRequest` in JSON with the events, grouped by Resource as [`encode_logs`](super::encode_logs())
/// groups them; nothing without events.
pub fn encode_logs_json(slices: &[Slice<EventBatch>]) -> Vec<u8> {
    let events = batch::records(slices);
    if events == 0 {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(events * BYTES_PER_EVENT);
    Object::write(&mut out, |request| {
        request.objects("resourceLogs", group(slices), |of, (resource, events)| {
            resource_logs(of, resource, &events);
        });
    });
    out
}

fn resource_logs(of: &mut Object<'_>, resource: &Resource, events: &[&Event]) {
    of.object("resource", |object| {
        let mut attributes = object.open_list("attributes");
        for (key, value) in resource.attributes() {
            attributes.key_value(key, value);
        }
        attributes.close();
    });
    of.objects("scopeLogs", [events], |scope_logs, events| {
        scope_logs.object("scope", |scope| {
            scope.string("name", SCOPE_NAME);
            scope.string("version", SCOPE_VERSION);
        });
        scope_logs.objects("logRecords", events, |record, event| log_record(record, event));
        scope_logs.string("schemaUrl", SCHEMA_URL);
    });
    of.string("schemaUrl", SCHEMA_URL);
}

fn log_record(record: &mut Object<'_>, event: &Event) {
    record.long("timeUnixNano", event.time_unix_nanos);
    record.long("observedTimeUnixNano", event.observed_unix_nanos);
    record.int("severityNumber", event.severity().into());
    record.object("body", |body| body.written("stringValue", |out| event.write_line(out)));
    let mut attributes = record.open_list("attributes");
    event.visit(|key, value| attributes.known_key_value(key, value));
    attributes.close();
    record.string("eventName", event.name().as_str());
}
