//! From the start of the process until it captures.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use super::figure::Table;
use super::{Size, progress};
use crate::actors::free_port;
use crate::clock::now;
use crate::convis::command;
use crate::http;
use crate::process::{Ask, Process};

pub(super) const COLUMN: &str = "ms to capturing";
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(1);

pub(super) fn measure(size: Size) -> Table {
    let rounds = size.pick(21, 3);
    progress(&format!("start, {rounds} rounds"));
    let mut table = Table::default();
    table.put("convis", COLUMN, (0..rounds).map(|_| until_ready()).collect());
    table
}

/// Starts convis until `/readyz` answers 200, and stops it; milliseconds.
pub(super) fn until_ready() -> f64 {
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = command();
    command.args(["--sink", "stdout,format=json", "--events", "failed", "--admin", &admin.to_string()]);
    let began = now();
    let mut process = Process::start("convis", command);
    while !http::get(admin, "/readyz").is_ok_and(|(code, _)| code == 200) {
        assert!(began.elapsed() < PATIENCE && process.ended().is_none(), "convis: {}", process.stderr());
        sleep(PAUSE);
    }
    let took = began.elapsed();
    process.ask(Ask::Stop);
    process.wait(PATIENCE);
    took.as_secs_f64() * 1e3
}
