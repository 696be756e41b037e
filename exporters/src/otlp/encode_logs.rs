//! Events as log records.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::wire::{ANY_STRING, Size, fixed64, key_value, message, string, varint, written};
use crate::batch::{self, Slice};
use crate::model::{Event, EventBatch, Resource, SCHEMA_URL, SCOPE_NAME, SCOPE_VERSION};

const REQUEST_RESOURCE_LOGS: u32 = 1;
const RESOURCE_LOGS_RESOURCE: u32 = 1;
const RESOURCE_LOGS_SCOPE_LOGS: u32 = 2;
const RESOURCE_LOGS_SCHEMA_URL: u32 = 3;
const RESOURCE_ATTRIBUTES: u32 = 1;
const SCOPE_LOGS_SCOPE: u32 = 1;
const SCOPE_LOGS_LOG_RECORDS: u32 = 2;
const SCOPE_LOGS_SCHEMA_URL: u32 = 3;
const SCOPE_NAME_FIELD: u32 = 1;
const SCOPE_VERSION_FIELD: u32 = 2;
const RECORD_TIME: u32 = 1;
const RECORD_SEVERITY_NUMBER: u32 = 2;
const RECORD_BODY: u32 = 5;
const RECORD_ATTRIBUTES: u32 = 6;
const RECORD_OBSERVED_TIME: u32 = 11;
const RECORD_EVENT_NAME: u32 = 12;

/// About the size of a closed event, in bytes.
const BYTES_PER_EVENT: usize = 1100;
/// Events said of a Resource before it is said again: with more, their length would not be the size that is guessed, and all
/// of them be moved.
const EVENTS_PER_RESOURCE: usize = 1024;

/// One `ExportLogsServiceRequest` with all events, grouped by Resource in the order of their first event.
///
/// Resources are told apart by allocation, which all events of one process image share: comparing attributes would cost
/// more than a Resource said twice.
pub fn encode_logs(slices: &[Slice<EventBatch>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch::records(slices) * BYTES_PER_EVENT);
    for (resource, events) in group(slices) {
        for events in events.chunks(EVENTS_PER_RESOURCE) {
            message(&mut out, REQUEST_RESOURCE_LOGS, Size::Large, |out| {
                resource_logs(out, resource, events);
            });
        }
    }
    out
}

/// Events by Resource, which are told apart by allocation.
pub(super) fn group(slices: &[Slice<EventBatch>]) -> Vec<(&Resource, Vec<&Event>)> {
    let mut index = FxHashMap::default();
    let mut groups: Vec<(&Resource, Vec<&Event>)> = Vec::new();
    let events = slices.iter().flat_map(|slice| &slice.batch.events[slice.from..slice.to]);
    for event in events {
        let group = *index.entry(Arc::as_ptr(&event.resource)).or_insert_with(|| {
            groups.push((&event.resource, Vec::new()));
            groups.len() - 1
        });
        groups[group].1.push(event);
    }
    groups
}

fn resource_logs(out: &mut Vec<u8>, resource: &Resource, events: &[&Event]) {
    message(out, RESOURCE_LOGS_RESOURCE, Size::Medium, |out| {
        for (key, value) in resource.attributes() {
            key_value(out, RESOURCE_ATTRIBUTES, key, value);
        }
    });
    message(out, RESOURCE_LOGS_SCOPE_LOGS, Size::Large, |out| {
        message(out, SCOPE_LOGS_SCOPE, Size::Small, |out| {
            string(out, SCOPE_NAME_FIELD, SCOPE_NAME);
            string(out, SCOPE_VERSION_FIELD, SCOPE_VERSION);
        });
        for event in events {
            message(out, SCOPE_LOGS_LOG_RECORDS, Size::Medium, |out| log_record(out, event));
        }
        string(out, SCOPE_LOGS_SCHEMA_URL, SCHEMA_URL);
    });
    string(out, RESOURCE_LOGS_SCHEMA_URL, SCHEMA_URL);
}

fn log_record(out: &mut Vec<u8>, event: &Event) {
    fixed64(out, RECORD_TIME, event.time_unix_nanos);
    varint(out, RECORD_SEVERITY_NUMBER, event.severity().into());
    message(out, RECORD_BODY, Size::Small, |out| {
        written(out, ANY_STRING, |out| event.write_line(out));
    });
    event.visit(|key, value| key_value(out, RECORD_ATTRIBUTES, key, value));
    fixed64(out, RECORD_OBSERVED_TIME, event.observed_unix_nanos);
    string(out, RECORD_EVENT_NAME, event.name().as_str());
}
