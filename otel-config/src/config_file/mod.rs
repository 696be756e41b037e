//! The file of `--config`: sinks under `exporters:`, and beside it what the command line can say as well.
//!
//! A new section is one [`Field`] in `SECTIONS`, which checks it and puts it into the editors' schema, and one field of
//! [`ConfigFile`], read from its node in [`ConfigFile::read`] where [`Shape::check`] finds nothing wrong with it.

mod exporters;
mod fields;
mod policy;
mod settings;
mod tables;

use crate::{
    SinkConfig, Sources,
    yaml::{self, Errors, Field, Shape},
};

use crate::policy::Settings as Policy;

pub use settings::{SETTINGS, Setting};

/// What stands at the top of a file besides [`SETTINGS`].
const SECTIONS: &[Field] = &[
    Field::new(
        "exporters",
        Shape::Typed(tables::FIELDS),
        "Where events and metrics go; each entry is active. `NAME/ANYTHING` is a further one of a name.",
    ),
    policy::NETWORKS,
    policy::FILTERS,
    policy::EXPECT,
    policy::SAMPLING,
    Field::new("receivers", Shape::Refused(NO_PIPELINES), ""),
    Field::new("processors", Shape::Refused(NO_PIPELINES), ""),
    Field::new("connectors", Shape::Refused(NO_PIPELINES), ""),
    Field::new("extensions", Shape::Refused(NO_PIPELINES), ""),
    Field::new("service", Shape::Refused(NO_PIPELINES), ""),
];

const NO_PIPELINES: &str =
    "a file of convis has no pipelines: every entry of `exporters:` is active; take this section out";

const SHAPE: Shape = Shape::Map(&[SECTIONS, SETTINGS]);

/// A file that was read.
#[derive(Debug, Default)]
pub struct ConfigFile {
    /// The sinks, each with the name of its entry.
    pub sinks: Vec<SinkConfig>,
    /// Whether a password, a key, a token or a header is written in the file itself.
    pub has_secret: bool,
    /// What is told.
    pub policy: Policy,
    /// Settings that flags of the command line have too, in the file's order.
    pub settings: Vec<Setting>,
}

impl ConfigFile {
    /// Reads a file's content. Everything that is wrong is noted in `errors`, to which the caller may add before it
    /// prints them; without any, the result is what the file says.
    pub fn read(content: &[u8], sources: &Sources<'_>, errors: &Errors) -> Self {
        let Some(root) = yaml::parse(content, sources, errors) else {
            return Self::default();
        };
        SHAPE.check(&root, errors);
        let exporters = root.get("exporters");
        let (sinks, has_secret) =
            exporters.map_or_else(Default::default, |node| exporters::read(node, sources, errors));
        Self { sinks, has_secret, policy: policy::read(&root, errors), settings: settings::read(&root) }
    }
}

#[cfg(test)]
mod tests;
