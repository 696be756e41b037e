use std::sync::Arc;

use convis_otel_config::{RemoteWrite, RemoteWriteVersion};

use super::{message, metrics, native_metrics, send, to, version, writer};
use crate::accounting::ErrorType;
use crate::batch::Slice;
use crate::outcome::{Exporter as _, Outcome};
use crate::prometheus::wire::{v1, v2};
use crate::testing::http::{Answer, Receiver};

fn written() -> Answer {
    Answer::status(204).with_header("x-prometheus-remote-write-samples-written", "11")
}

/// Sends two batches; returns the versions that were asked with, and whether each was sent.
async fn spoken(answers: Vec<Answer>) -> (Vec<String>, Vec<bool>) {
    let (receiver, base) = Receiver::start(answers).await;
    let mut writer = writer(&to(&base, RemoteWriteVersion::V2));
    let mut sent = Vec::new();
    for seconds in [0, 10] {
        sent.push(matches!(send(&mut writer, metrics(seconds)).await, Outcome::Sent { .. }));
    }
    (receiver.asked().iter().map(|asked| version(asked).to_owned()).collect(), sent)
}

/// Scenario: receivers that know 2.0, that take it for an empty message of 1.0, that refuse it in several ways, and one
/// that fails at anything.
/// Guarantees: 2.0 where it is understood; else the same data at once by 1.0, and only that from then on; a receiver that
/// refuses both is asked both ways again.
#[tokio::test]
async fn what_a_receiver_does_not_take_goes_out_as_1() {
    let status = Answer::status;
    let (two, one) = ("2.0.0", "0.1.0");
    let table = [
        (vec![written(), written()], vec![two, two], [true, true]),
        (vec![status(204), status(204), status(204)], vec![two, one, one], [true, true]),
        (vec![status(415), status(204), status(204)], vec![two, one, one], [true, true]),
        (vec![status(400), status(200), status(200)], vec![two, one, one], [true, true]),
        (vec![status(500), status(204), status(204)], vec![two, one, one], [true, true]),
        (vec![status(500), status(500), written()], vec![two, one, two], [false, true]),
        (vec![written(), status(400)], vec![two, two], [true, false]),
        (vec![written(), status(415), status(204)], vec![two, two, one], [true, true]),
        (vec![status(401), status(401)], vec![two, two], [false, false]),
    ];
    for (answers, versions, sent) in table {
        let shown = format!("{answers:?}");
        assert_eq!(
            spoken(answers).await,
            (versions.iter().map(|&v| v.to_owned()).collect(), sent.into()),
            "{shown}"
        );
    }
}

/// Scenario: a receiver of 1.0 is not well when it is asked by that.
/// Guarantees: the retry of the same request speaks 2.0 again and then 1.0; what arrives is the same data.
#[tokio::test]
async fn a_retry_after_falling_back_is_the_same_data() {
    let answers = vec![Answer::status(204), Answer::status(503), Answer::status(204), Answer::status(204)];
    let (receiver, base) = Receiver::start(answers).await;
    let mut writer = writer(&to(&base, RemoteWriteVersion::V2));
    let payload = writer.encode(&[Slice::whole(metrics(0))]);
    let Outcome::Retry { error, .. } = writer.send(&payload).await else { panic!() };
    assert_eq!(error.kind, ErrorType::Unavailable);
    assert!(matches!(writer.send(&payload).await, Outcome::Sent { .. }));
    let asked = receiver.asked();
    assert_eq!(asked.iter().map(version).collect::<Vec<_>>(), ["2.0.0", "0.1.0", "2.0.0", "0.1.0"]);
    assert_eq!(asked[1].body, asked[3].body);
    let (one, two): (v1::WriteRequest, v2::Request) = (message(&asked[1].body), message(&asked[0].body));
    assert_eq!(one.timeseries.len(), two.timeseries.len());
    assert_eq!(
        asked[0].headers["content-type"],
        "application/x-protobuf;proto=io.prometheus.write.v2.Request"
    );
    for (one, two_series) in one.timeseries.iter().zip(&two.timeseries) {
        let labels = one.labels.iter().flat_map(|label| [&label.name, &label.value]);
        assert!(labels.eq(two_series.labels_refs.iter().map(|index| &two.symbols[*index as usize])));
        let samples = one.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits()));
        assert!(
            samples.eq(two_series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())))
        );
    }
}

/// Scenario: native histograms for a receiver of 1.0, and the same for a sink that has none of them.
/// Guarantees: 2.0 with a native histogram is tried; by 1.0 both receivers get the same classic series, then as before.
#[tokio::test]
async fn a_receiver_of_1_gets_classic_histograms() {
    let (receiver, base) = Receiver::start(vec![Answer::status(415)]).await;
    let (plain_receiver, plain_base) = Receiver::start(Vec::new()).await;
    let config = RemoteWrite { native_histograms: true, ..to(&base, RemoteWriteVersion::V2) };
    let (mut native, mut plain) = (writer(&config), writer(&to(&plain_base, RemoteWriteVersion::V1)));
    for seconds in [0, 10] {
        for writer in [&mut native, &mut plain] {
            assert!(matches!(send(writer, native_metrics(seconds)).await, Outcome::Sent { rejected: 0, .. }));
        }
    }
    let asked = receiver.asked();
    assert_eq!(asked.iter().map(version).collect::<Vec<_>>(), ["2.0.0", "0.1.0", "0.1.0"]);
    let tried = message::<v2::Request>(&asked[0].body).timeseries;
    assert_eq!(tried.iter().map(|series| series.histograms.len()).collect::<Vec<_>>(), [0, 0, 0, 2, 0, 0, 0]);
    let bodies: Vec<_> = plain_receiver.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(asked[1..].iter().map(|asked| asked.body.clone()).collect::<Vec<_>>(), bodies);
}

/// Scenario: receivers that say what they stored of one native histogram, which is two samples at its beginning and one later.
/// Guarantees: what is missing counts as rejected, once per point, and is said with what to do; samples do not count here.
#[tokio::test]
async fn histograms_that_were_not_stored_are_counted() {
    let stored = |count: &str| written().with_header("x-prometheus-remote-write-histograms-written", count);
    let table = [
        (vec![stored("2"), stored("1")], [0, 0]),
        (vec![written(), stored("0")], [1, 1]),
        (vec![stored("1"), stored("9")], [1, 0]),
        (vec![stored("x"), stored(" 1 ")], [1, 0]),
    ];
    for (answers, rejected) in table {
        let shown = format!("{answers:?}");
        let (_receiver, base) = Receiver::start(answers).await;
        let config = RemoteWrite { native_histograms: true, ..to(&base, RemoteWriteVersion::V2) };
        let mut writer = writer(&config);
        for (seconds, expected) in [0, 10].into_iter().zip(rejected) {
            let outcome = send(&mut writer, native_metrics(seconds)).await;
            let Outcome::Sent { rejected, message } = outcome else { panic!("{outcome:?}") };
            assert_eq!((rejected, message.is_empty()), (expected, expected == 0), "{shown}: {message}");
            let says =
                message.contains("native histograms; enable them there or take out `native_histograms`");
            assert_eq!(says, expected > 0, "{message}");
        }
    }
}

/// Scenario: receivers that take 2.0 without histograms and fail at native ones, as Prometheus does where they are switched off; and
/// that fail once they have stored some.
/// Guarantees: the same data by 1.0 in the first case, and a retry in the second.
#[tokio::test]
async fn a_receiver_without_native_histograms_gets_classic_ones() {
    let stored = written().with_header("x-prometheus-remote-write-histograms-written", "2");
    let failed = || Answer::status(500).with_body("native histograms are disabled");
    let table = [
        (vec![written(), failed()], vec!["2.0.0", "2.0.0", "0.1.0"], true),
        (vec![stored, failed()], vec!["2.0.0", "2.0.0"], false),
    ];
    for (answers, versions, is_sent) in table {
        let (receiver, base) = Receiver::start(answers).await;
        let config = RemoteWrite { native_histograms: true, ..to(&base, RemoteWriteVersion::V2) };
        let mut writer = writer(&config);
        let mut first = Arc::unwrap_or_clone(native_metrics(0));
        if is_sent {
            first.resources[0].metrics.pop();
        }
        send(&mut writer, Arc::new(first)).await;
        let outcome = send(&mut writer, native_metrics(10)).await;
        assert_eq!(matches!(outcome, Outcome::Sent { rejected: 0, .. }), is_sent, "{outcome:?}");
        assert_eq!(receiver.asked().iter().map(version).collect::<Vec<_>>(), versions);
    }
}
