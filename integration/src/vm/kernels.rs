//! The kernels that convis is run on.

use super::arch::Arch;

/// One kernel of the matrix; which build of it is the newest one that its suites have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kernel {
    /// What it is called here.
    pub name: &'static str,
    /// What it runs on.
    pub arch: Arch,
    /// What its version starts with; empty when any will do.
    pub series: &'static str,
    /// Debian's suites that have it.
    pub suites: &'static [Suite],
    /// Why it is in the matrix.
    pub why: &'static str,
}

/// A suite of Debian's archive, or of its security archive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Suite(pub &'static str);

/// From the oldest to the newest, for one processor and then for the other.
pub const KERNELS: [Kernel; 8] = [
    kernel("5.10", Arch::X86_64, "5.10", &[Suite("bullseye-security")], "the oldest supported"),
    kernel("6.1", Arch::X86_64, "6.1", &[Suite("bookworm-security")], "Debian 12"),
    kernel("6.12", Arch::X86_64, "6.12", &[Suite("bookworm-security")], "Debian 13"),
    kernel("6.18", Arch::X86_64, "6.18", &[Suite("trixie-backports")], "long-term"),
    kernel("newest", Arch::X86_64, "", &[Suite("trixie-backports"), Suite("sid")], "to come"),
    kernel("arm64-6.1", Arch::Aarch64, "6.1", &[Suite("bookworm-security")], "Debian 12, no trampolines"),
    kernel("arm64-6.12", Arch::Aarch64, "6.12", &[Suite("bookworm-security")], "Debian 13"),
    kernel("arm64-newest", Arch::Aarch64, "", &[Suite("trixie-backports"), Suite("sid")], "to come"),
];

const fn kernel(
    name: &'static str,
    arch: Arch,
    series: &'static str,
    suites: &'static [Suite],
    why: &'static str,
) -> Kernel {
    Kernel { name, arch, series, suites, why }
}

impl Kernel {
    /// The one with this name.
    pub fn named(name: &str) -> Result<Self, String> {
        KERNELS.into_iter().find(|kernel| kernel.name == name).ok_or_else(|| {
            let names: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
            format!("no kernel `{name}`; there are {}", names.join(", "))
        })
    }

    /// The newest of these releases that is one of this kernel's.
    pub fn newest<'a>(&self, releases: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        releases.filter(|release| self.covers(release)).max_by_key(|release| numbers(release))
    }

    /// `6.1` and `7.3` alone name meta-packages and release candidates, so a patch number has to follow.
    fn covers(self, release: &str) -> bool {
        let rest = if self.series.is_empty() {
            release.split_once('.').map(|(_, rest)| rest)
        } else {
            release.strip_prefix(self.series).and_then(|rest| rest.strip_prefix('.'))
        };
        let wanted = if self.series.is_empty() { 2 } else { 1 };
        let numbers = rest.map(|rest| rest.split(['+', '-']).next().unwrap_or(rest).split('.').count());
        numbers.is_some_and(|count| count >= wanted)
    }
}

impl Suite {
    /// Whether it is part of the security archive.
    pub fn is_security(self) -> bool {
        self.0.ends_with("-security")
    }
}

/// `6.12.117+deb12` as 6, 12, 117, 12: how releases are ordered.
pub fn numbers(release: &str) -> Vec<u64> {
    release.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASES: [&str; 9] = [
        "6.1",
        "6.1.0-9",
        "6.1.0-56",
        "6.12.117+deb12",
        "6.12.99+deb12",
        "6.18.15+deb13",
        "7.3",
        "7.2.13+deb14",
        "6.12",
    ];

    /// Scenario: an archive with several builds, meta-packages and a release candidate.
    /// Guarantees: the newest build of the series, ordered by number, and never the other two.
    #[test]
    fn the_newest_build_of_a_series_is_taken() {
        let newest = |name| Kernel::named(name).unwrap().newest(RELEASES.into_iter());
        assert_eq!(newest("6.1"), Some("6.1.0-56"));
        assert_eq!(newest("6.12"), Some("6.12.117+deb12"));
        assert_eq!(newest("6.18"), Some("6.18.15+deb13"));
        assert_eq!(newest("newest"), Some("7.2.13+deb14"));
        assert_eq!(newest("5.10"), None);
    }

    /// Scenario: a name that is not in the table.
    /// Guarantees: the answer lists the names that are.
    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        assert!(Kernel::named("2.6").unwrap_err().contains("5.10, 6.1, 6.12, 6.18, newest, arm64-6.1"));
    }
}
