//! Docker, and Podman's socket that speaks the same.
//!
//! A session asks for the version, opens the stream of events, lists all containers, and then inspects what is asked for
//! and what events tell of.

mod client;
mod convert;
mod limited;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;

use bollard::models::EventMessage;
use futures_util::StreamExt as _;
use tokio::task::JoinSet;

use super::address::Address;
use super::cache::Vote;
use super::counters::Failure;
use super::id::ContainerId;
use super::port::{News, Port, request};
use crate::clock::{Clock, boot_now};
use client::Client;
pub(super) use convert::read;

/// Requests about single containers that run at one time because somebody asked.
const MOST_ASKED: usize = 8;
/// As many more may run because events told of something.
const MOST_TOLD: usize = 64;

type Inspected = (ContainerId, Result<Vote, Failure>);

/// Talks to the runtime until that fails.
pub(super) async fn session(port: &mut Port, address: &Address) -> Failure {
    match connected(port, address).await {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

async fn connected(port: &mut Port, address: &Address) -> Result<std::convert::Infallible, Failure> {
    let counters = Arc::clone(&port.counters);
    let limit = port.limits.timeout;
    let client = request(&counters, limit, Client::connect(address, port)).await?;
    let client = Arc::new(client);
    tracing::info!(%address, runtime = client.runtime(), "container runtime");
    let _connected = counters.connected();
    // What happens from here on is told again, so that nothing falls between the list and the events.
    let since = Clock::read().unix_nanos(boot_now()) / 1_000_000_000;
    list(port, &client).await?;
    let events = client.events(since);
    let mut events = pin!(events);
    let mut inspections = JoinSet::new();
    // What was open when the last session ended.
    for id in &port.open {
        inspections.spawn(inspect(Arc::clone(&client), id.clone()));
    }
    loop {
        tokio::select! {
            id = port.next_ask(), if inspections.len() < MOST_ASKED => {
                inspections.spawn(inspect(Arc::clone(&client), id));
            }
            Some(inspected) = inspections.join_next() => {
                // A task that panicked has said so; its question is given up in time.
                if let Ok(inspected) = inspected {
                    take(port, inspected).await?;
                }
            }
            event = events.next() => {
                let event = event.unwrap_or(Err(Failure::Disconnected));
                let event = event.inspect_err(|failure| counters.count_failure(*failure))?;
                if let Some(id) = follow(port, event).await
                    && inspections.len() < MOST_ASKED + MOST_TOLD
                {
                    inspections.spawn(inspect(Arc::clone(&client), id));
                }
            }
        }
    }
}

/// Everything there is. A runtime whose list makes no sense may still answer single questions.
async fn list(port: &Port, client: &Client) -> Result<(), Failure> {
    match request(&port.counters, port.limits.timeout, client.list()).await {
        Ok(found) => port.tell(News::Snapshot { source: port.source, found }).await,
        Err(failure) if failure.is_of_connection() => return Err(failure),
        Err(failure) => {
            tracing::warn!(reason = failure.as_str(), "container runtime gives no list of its containers");
        }
    }
    Ok(())
}

async fn inspect(client: Arc<Client>, id: ContainerId) -> Inspected {
    let outcome = request(client.counters(), client.timeout(), client.inspect(&id)).await;
    let vote = outcome.map(|found| found.map_or(Vote::Absent, |details| Vote::Found(Arc::new(details))));
    (id, vote)
}

/// Answers; but if the runtime as a whole cannot be talked to, the question stays open.
async fn take(port: &mut Port, (id, outcome): Inspected) -> Result<(), Failure> {
    match outcome {
        Ok(vote) => port.answer(id, vote).await,
        Err(failure) if failure.is_of_connection() => return Err(failure),
        Err(_) => port.answer(id, Vote::Failed).await,
    }
    Ok(())
}

/// What an event says; the container to inspect because of it.
async fn follow(port: &Port, event: EventMessage) -> Option<ContainerId> {
    let id = ContainerId::new(&event.actor?.id?)?;
    match event.action?.as_str() {
        "create" | "start" | "rename" => Some(id),
        // The second is Podman's.
        "destroy" | "remove" => {
            port.tell(News::Removed { source: port.source, id }).await;
            None
        }
        _ => None,
    }
}
