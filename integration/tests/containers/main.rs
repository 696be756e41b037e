//! The names of both ends of connections from, to and between containers, against what their runtimes say.
#![expect(clippy::expect_used, reason = "what does not go as planned fails the test, with its message")]

mod common;
mod crowd;
mod ends;
mod filtered;
mod hosts;
mod metrics;
mod outages;
mod pods;
