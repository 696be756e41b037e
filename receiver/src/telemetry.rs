//! convis's own metrics over OTLP: the families of [`crate::status`] through the OpenTelemetry SDK, to where the
//! observed metrics go.

use std::sync::Arc;
use std::time::Duration;

use convis_exporters::otlp;
use convis_otel_config::{SinkConfig, SinkKind};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};

use crate::fatal::Fatal;
use crate::identity::{Host, instance_id};
use crate::status::{Family, Kind, Sample, Status};

/// The running export; nothing where no sink takes OTLP metrics.
#[derive(Debug)]
pub struct Telemetry(Option<SdkMeterProvider>);

impl Telemetry {
    /// Starts exporting every `interval`. Call it once figures are published, inside the runtime that does the sending.
    ///
    /// # Errors
    /// A certificate or a key cannot be used.
    pub fn start(
        sinks: &[SinkConfig],
        interval: Duration,
        host: &Host,
        own: &[(String, String)],
        status: &Arc<Status>,
    ) -> Result<Self, Fatal> {
        let signals = sinks.iter().filter_map(|sink| match &sink.kind {
            SinkKind::Otlp(otlp) => Some((otlp.metrics.as_ref()?, otlp.temporality)),
            SinkKind::Stdout(_) | SinkKind::File(_) | SinkKind::NewRelic(_) | SinkKind::Prometheus(_) => None,
        });
        let mut builder = SdkMeterProvider::builder().with_resource(resource(host, own));
        let mut any = false;
        for (signal, temporality) in signals {
            let exporter = otlp::own_metrics(signal, temporality).map_err(Fatal::Usage)?;
            builder = builder.with_reader(PeriodicReader::builder(exporter).with_interval(interval).build());
            any = true;
        }
        if !any {
            return Ok(Self(None));
        }
        let provider = builder.build();
        let meter = provider.meter("convis");
        for (index, family) in status.families().iter().enumerate() {
            observe(&meter, index, family, status);
        }
        Ok(Self(Some(provider)))
    }

    /// Sends the last values, for `timeout` at most.
    pub async fn stop(self, timeout: Duration) {
        let Some(provider) = self.0 else {
            return;
        };
        let shutdown = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(timeout));
        // A receiver that is down loses only what the next start would count anew.
        let _lost = tokio::time::timeout(timeout, shutdown).await;
    }
}

/// The families are always the same, in the same order; only their samples change.
fn observe(meter: &Meter, index: usize, family: &Family, status: &Arc<Status>) {
    let status = Arc::clone(status);
    let samples =
        move || status.families().into_iter().nth(index).map(|family| family.samples).unwrap_or_default();
    match family.kind {
        Kind::Counter => {
            let counter = meter.u64_observable_counter(family.name);
            let counter = counter.with_unit(family.unit).with_description(family.description);
            counter
                .with_callback(move |observer| {
                    for sample in samples() {
                        observer.observe(sample.value, &attributes(sample));
                    }
                })
                .build();
        }
        Kind::Gauge => {
            let gauge = meter.u64_observable_gauge(family.name);
            let gauge = gauge.with_unit(family.unit).with_description(family.description);
            gauge
                .with_callback(move |observer| {
                    for sample in samples() {
                        observer.observe(sample.value, &attributes(sample));
                    }
                })
                .build();
        }
    }
}

fn attributes(sample: Sample) -> Vec<KeyValue> {
    sample.labels.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect()
}

/// convis itself. What the user says of it wins.
fn resource(host: &Host, own: &[(String, String)]) -> Resource {
    let id = host.id.as_deref().unwrap_or(&host.name);
    let known = [
        ("service.name", "convis".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", instance_id(&[id, "convis"])),
        ("host.name", host.name.clone()),
    ];
    let known = known.into_iter().map(|(key, value)| KeyValue::new(key, value));
    let host_id = host.id.iter().map(|id| KeyValue::new("host.id", id.clone()));
    let extra = host.extra.iter().chain(own).map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty().with_attributes(known.chain(host_id).chain(extra)).build()
}
