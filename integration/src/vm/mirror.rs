//! Where this machine gets Debian packages from, as its own apt is told.

use std::fs;
use std::path::{Path, PathBuf};

use super::kernels::Suite;

/// For machines whose own distribution is another.
const ELSEWHERE: &str = "http://deb.debian.org/debian";

/// The archive that has `suite`: the one of the machine's own lists, else the public one.
pub(super) fn of(suite: Suite) -> String {
    let lists = read_lists(Path::new("/etc/apt"));
    find(&lists, suite)
        .unwrap_or_else(|| if suite.is_security() { with_security(ELSEWHERE) } else { ELSEWHERE.to_owned() })
}

fn find(lists: &str, suite: Suite) -> Option<String> {
    let path = if suite.is_security() { "/debian-security" } else { "/debian" };
    let own = |end: &str| addresses(lists).find(|address| address.ends_with(end)).map(str::to_owned);
    // A mirror that is listed for one of the two is asked for the other too.
    own(path).or_else(|| suite.is_security().then(|| own("/debian")).flatten().map(|own| with_security(&own)))
}

fn with_security(archive: &str) -> String {
    format!("{archive}-security")
}

/// Every address in lists of either format, `deb URI suite ...` and `URIs: URI ...`.
fn addresses(lists: &str) -> impl Iterator<Item = &str> {
    lists
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .filter(|word| word.contains("://"))
        .map(|address| address.trim_end_matches('/'))
}

fn read_lists(folder: &Path) -> String {
    let parts = fs::read_dir(folder.join("sources.list.d")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
    files.sort();
    files.insert(0, folder.join("sources.list"));
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE: Suite = Suite("sid");
    const SECURITY: Suite = Suite("bookworm-security");

    /// Scenario: lists in both formats, with comments and other repositories.
    /// Guarantees: each kind of suite finds its archive.
    #[test]
    fn both_formats_are_understood() {
        let one_line = "# deb http://old.example/debian x\ndeb https://other.example/apt x main\n\
                        deb [arch=amd64] http://mirror.example/debian/ bookworm main\n";
        assert_eq!(find(one_line, SUITE).as_deref(), Some("http://mirror.example/debian"));
        let stanzas = "Types: deb\nURIs: http://a.example/debian\n\nTypes: deb\nURIs: http://b.example/debian-security/\n";
        assert_eq!(find(stanzas, SUITE).as_deref(), Some("http://a.example/debian"));
        assert_eq!(find(stanzas, SECURITY).as_deref(), Some("http://b.example/debian-security"));
    }

    /// Scenario: a list without the security archive, and one without Debian.
    /// Guarantees: the same mirror is asked for it; nothing is made up from other repositories.
    #[test]
    fn the_security_archive_is_beside_the_archive() {
        let lists = "deb http://mirror.example/debian bookworm main\n";
        assert_eq!(find(lists, SECURITY).as_deref(), Some("http://mirror.example/debian-security"));
        assert_eq!(find("deb http://archive.example/ubuntu noble main\n", SECURITY), None);
    }
}
