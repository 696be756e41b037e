//! Aggregates connections into metric series, by Resource.

mod aggregator;
mod group;
mod instruments;

pub use aggregator::{Aggregator, Limits, ResourceMode};
pub use group::{Dimensions, Facet, Group, GroupHandle, PeerService, SeriesId};
pub use instruments::{Extra, Instrument};
