//! The file of `--config`: sinks under `exporters:`, and beside it what the command line can say as well.
//!
//! A new section is one [`Field`] in `SECTIONS`, which checks it and puts it into the editors' schema, and one field of
//! [`ConfigFile`], read from its node in [`ConfigFile::read`].

mod settings;

use crate::{
    Sources,
    yaml::{self, Errors, Field, Node, Shape},
};

pub use settings::{SETTINGS, Setting};

/// What stands at the top of a file besides [`SETTINGS`].
const SECTIONS: &[Field] = &[
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
        Self { settings: settings::read(&root) }
    }
}

/// The section of that name, when it is there and fits its shape.
#[expect(dead_code, reason = "sections that are read from nodes use it")]
fn section<'a>(root: &'a Node, name: &str) -> Option<&'a Node> {
    let fits = |node: &&Node| {
        let field = SECTIONS.iter().find(|field| field.name == name);
        field.is_some_and(|field| field.shape.check(node, &Errors::new("")))
    };
    root.get(name).filter(fits)
}

#[cfg(test)]
mod tests;
