//! Traffic between containers, and the names that convis must give both ends of it.

mod detached;
mod first;
mod host;
mod names;
mod player;
mod proxied;
mod streams;

pub use detached::Detached;
pub use first::with_first;
pub use host::Host;
pub use names::{Container, Named, check_both, check_peers};
pub use player::{Part, Player};
pub use proxied::Proxied;
pub use streams::{Stream, has_value};
