//! User names, from a passwd file.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::SystemTime;

use rustc_hash::FxHashMap;

use crate::outside::{Outside, Question};

/// Names of user ids. The file is read again when it has changed and an id is not in it.
#[derive(Debug)]
pub struct Users {
    file: PathBuf,
    outside: Outside,
    known: RefCell<Known>,
}

#[derive(Debug, Default)]
struct Known {
    modified: Option<SystemTime>,
    names: FxHashMap<u32, Rc<str>>,
}

impl Users {
    /// Names from `file`, in the format of passwd(5).
    pub fn from_file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), outside: Outside::Host, known: RefCell::default() }
    }

    /// The same names, told by `outside`.
    #[must_use]
    pub fn told_by(mut self, outside: Outside) -> Self {
        self.outside = outside;
        self
    }

    /// The name of `uid`, or its number in decimal when it has none.
    pub fn name(&self, uid: u32) -> Rc<str> {
        let mut known = self.known.borrow_mut();
        if !known.names.contains_key(&uid) {
            let look = || {
                known.refresh(&self.file);
                known.names.get(&uid).map(ToString::to_string)
            };
            let name = self.outside.ask(Question::User(uid), look);
            known.names.insert(uid, name.unwrap_or_else(|| uid.to_string()).into());
        }
        known.names.get(&uid).map_or_else(|| uid.to_string().into(), Rc::clone)
    }
}

impl Known {
    fn refresh(&mut self, file: &PathBuf) {
        let modified = std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
        if modified.is_some() && modified == self.modified {
            return;
        }
        self.modified = modified;
        if let Ok(text) = std::fs::read(file) {
            self.names = parse(&String::from_utf8_lossy(&text));
        }
    }
}

/// The first name of each id counts, as for getpwuid(3).
fn parse(passwd: &str) -> FxHashMap<u32, Rc<str>> {
    let mut names = FxHashMap::default();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1))
            && let Ok(uid) = uid.parse()
            && !name.is_empty()
        {
            names.entry(uid).or_insert_with(|| name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a passwd file with a second name for an id, comments and broken lines.
    /// Guarantees: the first name; an unknown id is its number.
    #[test]
    fn names_ids() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("passwd");
        std::fs::write(
            &file,
            "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n#x\nbroken\nweb:x:33:33::/:/bin/sh\n",
        )
        .unwrap();
        let users = Users::from_file(&file);
        assert_eq!(&*users.name(0), "root");
        assert_eq!(&*users.name(33), "web");
        assert_eq!(&*users.name(1234), "1234");
    }
}
