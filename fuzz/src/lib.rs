//! Every parser of bytes from outside, and what must hold whatever the bytes are.
//!
//! Each function takes any bytes and panics where a promise is broken. `cargo fuzz` looks for such bytes; the product's
//! own tests run the same functions over `seeds/` and what is near to that.

mod answers;
mod config;
mod containers;
mod identity;
mod kernel;
mod pages;
mod policy;
mod recording;
mod stored;
mod tracker;

pub use answers::{grpc_answer, http_answer};
pub use config::{command_line, config_file, headers, resource_attributes, sink_spec, variables};
pub use containers::{cri, docker, image};
pub use identity::{cgroup, cgroup_long, conntrack, mountinfo, proc};
pub use kernel::{btf, record};
pub use pages::page;
pub use policy::policy;
pub use recording::recording;
pub use stored::stored_events;
pub use tracker::tracker;

/// A parser with its name, which is that of its target and of its folder of seeds.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("btf", btf),
    ("cgroup", cgroup),
    ("cgroup_long", cgroup_long),
    ("command_line", command_line),
    ("config_file", config_file),
    ("conntrack", conntrack),
    ("cri", cri),
    ("docker", docker),
    ("grpc_answer", grpc_answer),
    ("headers", headers),
    ("http_answer", http_answer),
    ("image", image),
    ("mountinfo", mountinfo),
    ("page", page),
    ("policy", policy),
    ("proc", proc),
    ("record", record),
    ("recording", recording),
    ("resource_attributes", resource_attributes),
    ("sink_spec", sink_spec),
    ("stored_events", stored_events),
    ("tracker", tracker),
    ("variables", variables),
];

/// The text at the beginning of any bytes.
fn text(bytes: &[u8]) -> &str {
    let whole = |valid: usize| std::str::from_utf8(&bytes[..valid]).unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or_else(|error| whole(error.valid_up_to()))
}

/// One line for people: not empty, and nothing in it that moves a cursor.
fn assert_one_line(line: &str) {
    assert!(!line.is_empty() && !line.contains(['\n', '\r', '\u{1b}']), "{line:?}");
}
