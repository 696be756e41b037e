//! The configuration file as a tree whose every node knows where it stands, and the rules that it is checked by.
//!
//! [`parse`] makes a [`Node`] of text; a [`Shape`] says which keys and values are valid, for [`Shape::check`] and for the
//! editors' schema alike; typed getters of [`Node`] read what was checked. Whatever is wrong goes to [`Errors`], which
//! gathers everything, so that a user mends a file in one go.
//!
//! Of YAML this takes what a configuration needs: maps with text keys, lists, and scalars, one document. Aliases, merge
//! keys and tags are refused by name: they are how small files become huge ones. What a scalar means is up to who reads
//! it, so `no`, `0777` and `1e3` are never turned into something else on the way.

mod errors;
mod getters;
mod nearest;
mod node;
mod parse;
mod shape;
mod substitute;

pub use errors::Errors;
pub use nearest::nearest;
pub use node::{Entry, Node, Scalar, Value};
pub use parse::{MAX_BYTES, parse};
pub use shape::{Field, Shape};

#[cfg(test)]
mod tests;
