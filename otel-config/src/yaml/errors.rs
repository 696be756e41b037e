//! Everything that is wrong with a file, as lines.

use std::cell::RefCell;

use super::node::{Entry, Node};

/// Lines beyond this are only counted.
const MAX_LINES: usize = 50;

/// Gathers what is wrong with one file. Lines are `file:line: path: problem`, in the file's order.
#[derive(Debug)]
pub struct Errors {
    file: String,
    found: RefCell<Vec<(usize, String)>>,
}

impl Errors {
    /// No error yet. The file's name stands at the start of every line.
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), found: RefCell::default() }
    }

    /// A problem of a node. The text names what is valid and repeats no secret.
    pub fn at(&self, node: &Node, problem: impl AsRef<str>) {
        let problem = problem.as_ref();
        if node.path.is_root() {
            self.line(node.line, problem);
        } else {
            self.line(node.line, &format!("{}: {problem}", node.path));
        }
    }

    /// A problem of an entry, told at its key's line.
    pub fn at_key(&self, entry: &Entry, problem: impl AsRef<str>) {
        self.line(entry.line, &format!("{}: {}", entry.node.path, problem.as_ref()));
    }

    /// A problem of a line; of the whole file when the line is 0.
    pub fn line(&self, line: usize, problem: &str) {
        self.found.borrow_mut().push((line, problem.to_owned()));
    }

    /// The value, or `None` with its problem noted.
    pub fn ok<T>(&self, node: &Node, result: Result<T, String>) -> Option<T> {
        result.map_err(|why| self.at(node, why)).ok()
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// How many problems there are so far.
    pub fn len(&self) -> usize {
        self.found.borrow().len()
    }

    /// One line for each problem, in the file's order; a problem that stands twice is told once.
    pub fn into_lines(self) -> Vec<String> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(line, _)| *line);
        found.dedup();
        let rest = found.len().saturating_sub(MAX_LINES);
        let mut lines: Vec<String> = found
            .into_iter()
            .take(MAX_LINES)
            .map(|(line, problem)| match line {
                0 => format!("{}: {problem}", self.file),
                _ => format!("{}:{line}: {problem}", self.file),
            })
            .collect();
        if rest > 0 {
            lines.push(format!("{}: and {rest} more", self.file));
        }
        lines
    }
}
