//! Aggregates connections into metric series, by Resource.

mod aggregator;
mod facet;
mod group;
mod instruments;

pub use aggregator::{Aggregator, Limits, ResourceMode};
pub use facet::{Dimensions, Facet, PeerService, SeriesId};
pub use group::{Group, GroupHandle};
pub use instruments::{Extra, Instrument};
