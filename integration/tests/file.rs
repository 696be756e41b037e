//! The files of a running convis, against the same events on its standard output.

#![expect(clippy::expect_used, reason = "a helper of tests that may fail like them")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convis_integration::actors::{Scene, Truth};
use convis_integration::clock::wait_for;
use convis_integration::convis::Convis;
use convis_integration::disk::{Disk, fill_but_for_two_pages};
use convis_integration::event::Event;
use convis_integration::need::root;
use convis_integration::traffic::Exchange;
use convis_integration::{need, turns};

const PATIENCE: Duration = Duration::from_secs(20);

fn play(count: usize) -> Truth {
    Scene { count, ..Scene::one("127.0.0.1:0", Exchange { send: 10, ..Exchange::default() }) }.play()
}

/// All lines of the files in a folder, those of higher numbers first; a torn one is a panic.
fn events(folder: &Path) -> Vec<Event> {
    let mut files = files(folder);
    files.sort_by_key(|path| {
        std::cmp::Reverse(path.extension().and_then(|last| last.to_str()?.parse().ok()).unwrap_or(0))
    });
    let text: String = files.iter().map(|path| fs::read_to_string(path).expect("a file")).collect();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    text[..whole].lines().map(Event::from_line).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect()
}

/// What tells an event from all others.
fn keys(events: &[Event]) -> Vec<String> {
    let key =
        |event: &Event| format!("{} {} {}", event.timestamp, event.name, event.text("convis.connection.id"));
    events.iter().map(key).collect()
}

/// Scenario: a program moves the file away, sends SIGHUP, and looks for the new one; there is traffic before, between and
/// after.
/// Guarantees: convis goes on; both files together hold what standard output shows, each event once and in order.
#[test]
fn a_hangup_begins_a_new_file() {
    need!(root());
    let _turn = turns::together();
    let folder = tempfile::tempdir().expect("a folder");
    let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    let mut convis = Convis::start(&["--sink", &format!("file,path={}", path.display())]);
    for part in 0..3 {
        let port = play(5).server.port();
        convis.wait_for_events(port, 20);
        wait_for("the file to follow", PATIENCE, || {
            (events(folder.path()).iter().filter(|event| event.is_at(port)).count() >= 20).then_some(())
        });
        match part {
            0 => fs::rename(&path, &moved).expect("a file to move"),
            1 => {
                assert!(!path.exists(), "lines follow the file until the signal");
                convis.hang_up();
                wait_for("the new file", PATIENCE, || path.exists().then_some(()));
            }
            _ => assert!(fs::metadata(&path).is_ok_and(|file| file.len() > 0), "lines go to the new file"),
        }
    }
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    assert_eq!(keys(&events(folder.path())), keys(&stopped.events));
}

/// Scenario: a hundred connections, with files of 64 KiB.
/// Guarantees: no file is larger, and together they hold what standard output shows, each event once and in order.
#[test]
fn full_files_are_kept() {
    need!(root());
    let _turn = turns::together();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let sink = format!("file,path={},max_size=64K,max_backups=500", path.display());
    let convis = Convis::start(&["--sink", &sink]);
    let port = play(100).server.port();
    convis.wait_for_events(port, 400);
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    let files = files(folder.path());
    assert!(files.len() > 3, "{files:?}");
    assert!(files.iter().all(|path| fs::metadata(path).is_ok_and(|file| file.len() <= 64 << 10)));
    assert_eq!(keys(&events(folder.path())), keys(&stopped.events));
}

/// Scenario: the disk is full but for a part of what comes, and later has room.
/// Guarantees: convis goes on, says what is wrong, drops nothing, and then the file holds each event once, no line torn.
#[test]
fn a_full_disk_loses_nothing() {
    need!(root());
    let _turn = turns::together();
    let disk = Disk::of(1 << 20);
    let path = disk.path().join("log");
    let convis = Convis::start(&["--sink", &format!("file,path={}", path.display())]);
    let ballast = disk.path().join("ballast");
    fill_but_for_two_pages(&ballast);
    let port = play(20).server.port();
    convis.wait_for_events(port, 80);
    wait_for("the failure to be said", PATIENCE, || convis.stderr().contains("No space left").then_some(()));
    let account = convis.ledger().sink("file");
    assert!(account.balances() && account.dropped < 0.5 && account.queued > 0.5, "{account:?}");
    fs::remove_file(&ballast).expect("the ballast");
    wait_for("all lines", PATIENCE, || {
        (events(disk.path()).iter().filter(|event| event.is_at(port)).count() >= 80).then_some(())
    });
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    assert_eq!(keys(&events(disk.path())), keys(&stopped.events));
}
