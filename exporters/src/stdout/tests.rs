use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::testing::{assert_golden, samples};

/// An output that hands on what it is given, or fails.
struct Output(Result<mpsc::Sender<Vec<u8>>, io::ErrorKind>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sender = self.0.as_ref().map_err(|kind| io::Error::from(*kind))?;
        sender.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output that never takes anything.
struct Stalled(mpsc::Receiver<()>);

impl Write for Stalled {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(0)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn write(output: impl Write + Send + 'static) -> Outcome {
    let mut stdout = Stdout::to(StdoutFormat::Json, OutputStyle::default(), output).unwrap();
    let payload = stdout.encode(&[Slice::whole(samples::events())]);
    stdout.send(&payload).await
}

/// Scenario: events of all kinds as JSON.
/// Guarantees: the lines are those on file, and each is one JSON object.
#[tokio::test]
async fn json_equals_the_golden_file() {
    let (sender, written) = mpsc::channel();
    assert!(matches!(write(Output(Ok(sender))).await, Outcome::Sent { .. }));
    let text = String::from_utf8(written.try_iter().flatten().collect()).unwrap();
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object["attributes"]["network.peer.port"].is_u64());
        assert!(object["attributes"]["convis.connection.id"].is_string());
    }
    assert_golden("stdout.jsonl", &text);
}

/// Scenario: the reader of the pipe goes away; the disk is full.
/// Guarantees: the two can be told apart.
#[tokio::test]
async fn a_closed_pipe_is_its_own_error() {
    let broken = write(Output(Err(io::ErrorKind::BrokenPipe))).await;
    assert!(matches!(broken, Outcome::Fatal(SinkError::OutputClosed)));
    let full = write(Output(Err(io::ErrorKind::StorageFull))).await;
    assert!(matches!(full, Outcome::Fatal(SinkError::Output(_))));
}

/// Scenario: a terminal that takes nothing.
/// Guarantees: only the write waits; giving it up works and the runtime ends.
#[tokio::test]
async fn a_stalled_terminal_blocks_nothing() {
    let (_keep, never) = mpsc::channel();
    let waiting = tokio::time::timeout(Duration::from_millis(50), write(Stalled(never)));
    assert!(waiting.await.is_err());
}
