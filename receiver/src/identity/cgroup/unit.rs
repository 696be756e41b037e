//! Units of systemd and machines (LXC, nspawn) in segments of a path.

use super::path::Runtime;

/// The innermost service. A scope inside it was begun by somebody else, such as a user at a desktop: no service.
pub(super) fn unit(segments: &[&str]) -> Option<String> {
    for segment in segments.iter().rev() {
        if let Some(name) = segment.strip_suffix(".service").filter(|name| !name.is_empty()) {
            // systemd puts this before a name that the kernel could take for a file of its own.
            let name = name.strip_prefix('_').unwrap_or(name);
            return Some(unescape(name) + ".service");
        }
        if segment.strip_suffix(".scope").is_some_and(|name| name != "init") {
            return None;
        }
    }
    match segments {
        // Talos has no systemd.
        ["podruntime" | "system", name, ..] | [name @ "init"] => Some((*name).to_owned()),
        _ => None,
    }
}

/// The innermost system container and what runs it.
pub(super) fn machine(segments: &[&str]) -> Option<(Runtime, String)> {
    (0..segments.len()).rev().find_map(|depth| {
        let parent = depth.checked_sub(1).map(|above| segments[above]);
        let child = segments.get(depth + 1).copied();
        lxc(segments[depth], parent).or_else(|| registered(segments[depth], child))
    })
}

fn lxc(segment: &str, parent: Option<&str>) -> Option<(Runtime, String)> {
    let name = segment.strip_prefix("lxc.payload.").or_else(|| {
        let named = matches!(parent, Some("lxc" | "lxc.payload")) && !segment.starts_with("lxc.");
        named.then_some(segment)
    })?;
    (!name.is_empty()).then(|| (Runtime::Lxc, name.to_owned()))
}

/// What systemd-machined knows. A virtual machine is none: its process runs on the host.
fn registered(segment: &str, child: Option<&str>) -> Option<(Runtime, String)> {
    let scope = segment.strip_prefix("machine-").and_then(|rest| rest.strip_suffix(".scope"));
    let service = segment.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service"));
    let name = unescape(scope.or(service)?);
    // There systemd-nspawn itself runs.
    if name.is_empty() || child == Some("supervisor") {
        return None;
    }
    match name.split_once('-') {
        Some(("rkt" | "qemu", _)) if scope.is_some() => None,
        // libvirt: the driver, a number, the name.
        Some(("lxc", name)) if scope.is_some() => {
            let numbered = name.split_once('-').filter(|(number, _)| number.parse::<u32>().is_ok());
            Some((Runtime::Lxc, numbered.map_or(name, |(_, name)| name).to_owned()))
        }
        _ => Some((Runtime::Nspawn, name)),
    }
}

/// Undoes the escapes of systemd (`\x2d`). What would give a control character or no UTF-8 stays.
pub(super) fn unescape(name: &str) -> String {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = escaped(rest);
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &rest[4..] } else { after };
    }
    String::from_utf8(plain).unwrap_or_else(|_| name.to_owned())
}

fn escaped(text: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    (!byte.is_ascii_control()).then_some(byte)
}
