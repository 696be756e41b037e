use std::fs;
use std::sync::Arc;

use convis_otel_config::SinkKind;
use tokio::time::Instant;

use super::*;
use crate::accounting::DropReason;
use crate::retry::RetryPolicy;
use crate::testing::samples;
use crate::{Runners, Sink, build};

fn settings() -> Settings {
    let retry = RetryPolicy { initial: Duration::from_millis(5), ..RetryPolicy::default() };
    Settings { retry, ..Settings::default() }
}

fn start(path: PathBuf, settings: &Settings) -> (Sink, Runners) {
    let config = FileConfig { path, max_bytes: 64 << 10, max_backups: 900 };
    let (mut sinks, runners) = build(&[SinkKind::File(config).into()], settings).unwrap();
    (sinks.remove(0), runners)
}

/// Polls, with a deadline.
async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
}

async fn stop(sink: Sink, runners: Runners) {
    drop(sink);
    assert!(runners.stop(Instant::now() + Duration::from_secs(20)).await.is_empty());
}

/// Scenario: the sample events, then so many that files fill up.
/// Guarantees: the lines are those of standard output, every event is in one file, and the accounts say so.
#[tokio::test]
async fn lines_are_those_of_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let (sink, runners) = start(
        folder.path().join("log"),
        &Settings { events: Some(convis_otel_config::EventKinds::ALL), ..settings() },
    );
    assert_eq!(sink.name(), "file");
    sink.offer_events(&samples::events());
    until(|| sink.stats()[0].stats.snapshot().sent == samples::EVENTS).await;
    let golden = include_str!("../../testdata/stdout.jsonl");
    assert_eq!(fs::read_to_string(folder.path().join("log")).unwrap(), golden);
    for _ in 0..4 {
        sink.offer_events(&samples::many_events(500));
    }
    let stats = Arc::clone(&sink.stats()[0].stats);
    stop(sink, runners).await;
    assert_eq!(stats.snapshot().sent, samples::EVENTS + 2000);
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 4, "{files:?}");
    let lines: usize = files.iter().map(|path| fs::read_to_string(path).unwrap().lines().count()).sum();
    assert_eq!(lines as u64, samples::EVENTS + 2000);
}

/// Scenario: the disk is full, events come, it has room again; the place is told by asking for the file again.
/// Guarantees: a full disk ends nothing, what waits is counted and arrives once.
#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let settings = settings();
    let (sink, runners) = start(path.clone(), &settings);
    sink.offer_events(&samples::many_events(3));
    let stats = Arc::clone(&sink.stats()[0].stats);
    until(|| stats.snapshot().failures_of(ErrorType::Output) > 1).await;
    assert_eq!((stats.snapshot().queued(), stats.snapshot().dropped_total()), (3, 0));
    fs::remove_file(&path).unwrap();
    settings.reopen.ask();
    until(|| stats.snapshot().sent == 3).await;
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    stop(sink, runners).await;
}

/// Scenario: the disk stays full until the stop.
/// Guarantees: what was not written is counted.
#[tokio::test]
async fn what_was_not_written_is_counted() {
    let (sink, runners) = start("/dev/full".into(), &settings());
    sink.offer_events(&samples::many_events(3));
    let stats = Arc::clone(&sink.stats()[0].stats);
    stop(sink, runners).await;
    assert_eq!((stats.snapshot().sent, stats.snapshot().dropped_for(DropReason::Shutdown)), (0, 3));
}

/// Scenario: another program moves the file and asks for a new one, while nothing is written.
/// Guarantees: the new file is there at once.
#[tokio::test]
async fn a_new_file_comes_without_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let settings = settings();
    let (sink, runners) = start(path.clone(), &settings);
    fs::rename(&path, folder.path().join("moved")).unwrap();
    settings.reopen.ask();
    until(|| path.exists()).await;
    stop(sink, runners).await;
}

/// Scenario: a path that cannot be.
/// Guarantees: nothing starts; one line says what and where.
#[tokio::test]
async fn a_path_that_cannot_be_is_an_error() {
    let config = FileConfig { path: "/nonexistent/log".into(), max_bytes: 64 << 10, max_backups: 1 };
    let error = build(&[SinkKind::File(config).into()], &settings()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "sink file: cannot open /nonexistent/log: No such file or directory (os error 2); check the folder and its \
         permissions"
    );
}
