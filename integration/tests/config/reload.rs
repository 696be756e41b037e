//! SIGHUP under load, and with somebody who reads a page meanwhile.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use convis_integration::actors::{Truth, free_port};
use convis_integration::clock::wait_for;
use convis_integration::convis::Convis;
use convis_integration::enough::Enough;
use convis_integration::need::root;
use convis_integration::oracle::Oracle;
use convis_integration::{http, need, turns};

use crate::{EVENTS, File, PATIENCE, arrived, ends, play};

/// A file whose one sink, always of the same name, sends to this receiver over HTTP; what waits is in memory, or in a folder.
fn sink_to(oracle: &Oracle, storage: Option<&Path>) -> String {
    let queue = storage.map(|folder| format!("    sending_queue: {{storage: {}}}\n", folder.display()));
    format!(
        "interval: 1s\nexporters:\n  otlp_http/there:\n    endpoint: http://127.0.0.1:{}\n{}",
        oracle.ports().http,
        queue.unwrap_or_default()
    )
}

/// Scenario: connections come and go without pause while the file is changed from one receiver to another and back, some
/// times with a mistake in between, some times with nothing new.
/// Guarantees: each event arrives once, at one of the two; a mistake changes nothing and is told in one line; what is
/// counted for the sink, over all that had its name, is what arrived.
#[test]
fn a_reload_under_load_loses_and_repeats_nothing() {
    need!(root());
    check_reloads_under_load(&[need!(Oracle::start("none")), need!(Oracle::start("none"))], None);
}

/// Scenario: the same, with a sink that stores its events, in the same folder before and after.
/// Guarantees: the same: what was stored is handed over, and sent and counted once.
#[test]
fn a_reload_under_load_hands_over_what_is_stored() {
    need!(root());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let oracles = [need!(Oracle::start("none")), need!(Oracle::start("none"))];
    check_reloads_under_load(&oracles, Some(folder.path()));
}

fn check_reloads_under_load(oracles: &[Oracle; 2], storage: Option<&Path>) {
    let _turn = turns::together();
    let file = File::new(&sink_to(&oracles[0], storage));
    let mut convis = Convis::start_with(&["--config", &file.text()]);
    let enough = AtomicBool::new(false);
    let truths: Vec<Truth> = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut truths = Vec::new();
            while !enough.load(Ordering::Relaxed) {
                truths.push(play(10));
            }
            truths.push(play(10));
            truths
        });
        let saying = Enough(&enough);
        for round in 1..=2 {
            let to = &oracles[round % 2];
            let before = to.logs_taken().len();
            file.write(&sink_to(to, storage));
            assert_eq!(convis.reload(), "convis: reloaded: sinks: 1 started, 1 stopped, 0 unchanged");
            wait_for("events at the other receiver", PATIENCE, || {
                (to.logs_taken().len() > before + 20).then_some(())
            });
            assert_eq!(convis.reload(), "convis: reloaded: sinks: 0 started, 0 stopped, 1 unchanged");
            file.write("exporters:\n  otlp:\n    endpoint: ftp://h\n  kafka: {a: 1}\n");
            let line = convis.reload();
            let start = format!(
                "convis: not reloaded, the settings stay as they were: {0}:3: exporters.otlp.endpoint: unknown scheme",
                file.text()
            );
            assert!(line.starts_with(&start) && line.contains(&format!(" | {}:4: ", file.text())), "{line}");
        }
        drop(saying);
        load.join().expect("the load")
    });
    let ends = ends(&truths);
    let count: usize = truths.iter().map(|truth| truth.clients.len()).sum();
    let both = || oracles.iter().map(|oracle| arrived(oracle, &ends)).collect::<Vec<_>>();
    wait_for("every event", PATIENCE, || (both().concat().len() >= EVENTS * count).then_some(()));
    let (_, metrics) = http::get(convis.admin(), "/metrics").expect("the admin port answers");
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);

    let [here, there] = [0, 1].map(|index| both().swap_remove(index));
    assert!(!here.is_empty() && !there.is_empty());
    let all = [here, there].concat();
    assert_eq!(all.len(), EVENTS * count);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), EVENTS * count, "some event arrived twice");

    let series = "convis_sink_records_sent_total{sink=\"otlp_http/there\",signal=\"events\"}";
    assert_eq!(metrics.lines().filter(|line| line.starts_with(series)).count(), 1, "{metrics}");
    let arrived: usize = oracles.iter().map(|oracle| oracle.logs_taken().len()).sum();
    let counted = format!("otlp_http/there events: {arrived} sent, 0 dropped");
    assert!(stopped.stderr.contains(&counted), "{counted}: {}", stopped.stderr);
}

/// Scenario: a page is read without pause, on which a series grows, while the sink that writes it is changed, twice.
/// Guarantees: somebody answers at every moment, with the page of one of the sinks, never an empty one; the series never
/// falls back; the labels become the new ones.
#[test]
fn a_page_is_there_throughout_a_reload() {
    need!(root());
    let _turn = turns::together();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let text = |labels: &str| {
        format!(
            "interval: 200ms\nexporters:\n  prometheus/page:\n    endpoint: {address}\n    resource_labels: [{labels}]\n"
        )
    };
    let file = File::new(&text("host.name"));
    let mut convis = Convis::start_with(&["--config", &file.text()]);
    let opened = || {
        let (code, page) = http::get(address, "/metrics").expect("somebody listens");
        let lines = page.lines().filter(|line| line.starts_with("convis_tcp_connection_opened_total{"));
        let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        (code, values.sum::<u64>(), page)
    };
    play(3);
    wait_for("a page", PATIENCE, || (opened().1 >= 6).then_some(()));
    let enough = AtomicBool::new(false);
    let read = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut read = Vec::new();
            while !enough.load(Ordering::Relaxed) {
                let (code, sum, _) = opened();
                read.push((code, sum));
            }
            read
        });
        let saying = Enough(&enough);
        for labels in ["host.name, os.type", "host.arch"] {
            file.write(&text(labels));
            assert_eq!(convis.reload(), "convis: reloaded: sinks: 1 started, 1 stopped, 0 unchanged");
            play(3);
            let label = labels.rsplit(' ').next().expect("a label").replace('.', "_");
            wait_for("the new labels", PATIENCE, || {
                opened().2.contains(&format!("{label}=\"")).then_some(())
            });
        }
        drop(saying);
        reader.join().expect("the reader")
    });
    assert!(read.iter().all(|(code, sum)| *code == 200 && *sum >= 6), "{read:?}");
    assert!(read.is_sorted_by_key(|(_, sum)| *sum), "{read:?}");
    assert!(convis.stop().status.success());
}
