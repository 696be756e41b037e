//! The runtimes of Kubernetes, over the Container Runtime Interface: containerd, CRI-O and others.
//!
//! A session lists all pods and containers, and lists them again, at most once in a while, when somebody asks for one that
//! it does not know. It never subscribes to events: some runtimes have one queue of them, and that is the kubelet's.

mod client;
mod convert;
mod messages;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::address::Address;
use super::cache::Vote;
use super::counters::Failure;
use super::port::{News, Port, request};
use client::Client;
pub(super) use convert::read;

/// Talks to the runtime until that fails.
pub(super) async fn session(port: &mut Port, address: &Address) -> Failure {
    match connected(port, address).await {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

async fn connected(port: &mut Port, address: &Address) -> Result<std::convert::Infallible, Failure> {
    let counters = Arc::clone(&port.counters);
    let mut client = request(&counters, port.limits.timeout, Client::connect(address, port)).await?;
    tracing::info!(%address, runtime = client.runtime(), "container runtime");
    let _connected = counters.connected();
    loop {
        let turn = port.next_list.unwrap_or_else(Instant::now);
        // Those who ask until then are answered by the same list.
        while Instant::now() < turn {
            tokio::select! {
                () = sleep_until(turn) => {}
                _ = port.next_ask() => {}
            }
        }
        list(port, &mut client).await?;
        if port.open.is_empty() {
            port.next_ask().await;
        }
    }
}

/// Lists everything, and answers all open questions by that.
async fn list(port: &mut Port, client: &mut Client) -> Result<(), Failure> {
    port.next_list = Some(Instant::now() + port.limits.list_interval);
    match client.list().await {
        Ok(found) => {
            for (id, _) in &found {
                port.open.remove(id);
            }
            port.tell(News::Snapshot { source: port.source, found }).await;
            port.answer_all(&Vote::Absent).await;
            Ok(())
        }
        Err(failure) if failure.is_of_connection() => Err(failure),
        Err(_) => {
            port.answer_all(&Vote::Failed).await;
            Ok(())
        }
    }
}
