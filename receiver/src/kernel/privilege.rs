//! What the process is allowed to do.

use std::io;

/// A capability and its bit in `/proc/self/status`.
const NEEDED: [(&str, u32); 2] = [("CAP_PERFMON", 38), ("CAP_BPF", 39)];
const CAP_SYS_ADMIN: u32 = 21;

/// The capabilities that capturing needs and this process does not have. `CAP_SYS_ADMIN` stands for all of them.
///
/// # Errors
/// `/proc/self/status` cannot be read or lacks its capabilities.
pub fn missing() -> io::Result<Vec<&'static str>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let effective = effective(&status).ok_or_else(|| io::Error::other("/proc/self/status has no CapEff"))?;
    Ok(missing_of(effective))
}

fn effective(status: &str) -> Option<u64> {
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

fn missing_of(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    if has(CAP_SYS_ADMIN) {
        return Vec::new();
    }
    NEEDED.iter().filter(|(_, bit)| !has(*bit)).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: status texts of an ordinary user, of root, and of a process with just the two.
    /// Guarantees: only what is missing is named.
    #[test]
    fn names_what_is_missing() {
        let of = |hex: &str| missing_of(effective(&format!("Name:\tx\nCapEff:\t{hex}\n")).unwrap());
        assert_eq!(of("0000000000000000"), ["CAP_PERFMON", "CAP_BPF"]);
        assert_eq!(of("000001fffeffffff"), [""; 0]);
        assert_eq!(of("000000c000000000"), [""; 0]);
        assert_eq!(of("0000008000000000"), ["CAP_PERFMON"]);
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
