//! Ids of containers and pods in segments of a path.

use super::path::Runtime;
use super::unit::unescape;

/// Cgroups of helpers that runtimes put beside a container.
const HELPERS: [&str; 3] = ["crio-conmon-", "libpod-conmon-", "lxc.monitor"];
/// How long an id is that nearly every runtime makes.
const USUAL: usize = 64;
/// How long freely chosen ids of containerd are; a shorter name at such a place could be anything.
const CHOSEN: std::ops::RangeInclusive<usize> = 12..=76;
/// Longest id of BPM taken for one.
const BPM_MAX: usize = 128;

/// The innermost container of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) runtime: Option<Runtime>,
    /// It is the payload of the service that this many segments from the first lead to.
    pub(super) payload_of: Option<usize>,
}

/// How a segment ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Scope,
    Service,
    Plain,
}

/// The last segment that names a container.
pub(super) fn container(segments: &[&str]) -> Option<Container> {
    (0..segments.len()).rev().find_map(|depth| in_segment(segments[depth], &segments[..depth]))
}

fn in_segment(segment: &str, above: &[&str]) -> Option<Container> {
    if HELPERS.iter().any(|helper| segment.starts_with(helper)) {
        return None;
    }
    let (name, kind) = match (segment.strip_suffix(".scope"), segment.strip_suffix(".service")) {
        (Some(name), _) => (name, Kind::Scope),
        (_, Some(name)) => (name, Kind::Service),
        _ => (segment, Kind::Plain),
    };
    let (id, runtime) = match usual(name) {
        // A service whose whole name is an id runs podman's health check of that container, outside of it.
        Some(("", _)) if kind == Kind::Service => return None,
        Some(("", id)) => (id.to_owned(), by_parents(above)),
        Some((before, id)) => (id.to_owned(), by_prefix(before)),
        None => {
            let (id, runtime) = unusual(name, kind, above)?;
            (id, Some(runtime))
        }
    };
    let payload_of = name.starts_with("libpod-payload-").then_some(above.len());
    Some(Container { id, runtime, payload_of })
}

/// Splits `name` before the 64 digits it ends with; what is before is empty or ends with a separator.
fn usual(name: &str) -> Option<(&str, &str)> {
    let (before, id) = name.split_at_checked(name.len().checked_sub(USUAL)?)?;
    (is_hex(id) && (before.is_empty() || before.ends_with(['-', ':']))).then_some((before, id))
}

fn by_prefix(before: &str) -> Option<Runtime> {
    let before = before.strip_suffix(['-', ':']).unwrap_or(before);
    match before.rsplit(':').next()? {
        "docker" => Some(Runtime::Docker),
        "cri-containerd" | "containerd" => Some(Runtime::Containerd),
        "crio" => Some(Runtime::CriO),
        "libpod" | "libpod-payload" => Some(Runtime::Podman),
        "nerdctl" => Some(Runtime::Nerdctl),
        _ => None,
    }
}

fn by_parents(above: &[&str]) -> Option<Runtime> {
    match *above.last()? {
        "docker" | "moby" => Some(Runtime::Docker),
        "default" | "k8s.io" => Some(Runtime::Containerd),
        parent if parent.starts_with("podman-") => Some(Runtime::Podman),
        // On instances of its own ECS drives Docker.
        _ if above.contains(&"ecs") => Some(Runtime::Docker),
        _ => None,
    }
}

/// Ids of other shapes, each only where its runtime puts it.
fn unusual(name: &str, kind: Kind, above: &[&str]) -> Option<(String, Runtime)> {
    match (kind, name.strip_prefix("bpm-")) {
        (Kind::Service, _) => None,
        (_, Some(id)) => (is_chosen(id) && id.len() <= BPM_MAX).then(|| (id.to_owned(), Runtime::Bpm)),
        (Kind::Scope, _) => in_scope(name),
        (Kind::Plain, _) => as_it_is(name, above).map(|runtime| (name.to_owned(), runtime)),
    }
}

fn in_scope(name: &str) -> Option<(String, Runtime)> {
    if let Some(id) = name.strip_prefix(r"machine-rkt\x2d").map(unescape) {
        return is_uuid(&id).then_some((id, Runtime::Rkt));
    }
    let id = name.strip_prefix("nerdctl-")?;
    (CHOSEN.contains(&id.len()) && is_chosen(id)).then(|| (id.to_owned(), Runtime::Nerdctl))
}

/// The runtime whose id `name` is.
fn as_it_is(name: &str, above: &[&str]) -> Option<Runtime> {
    if is_fargate(name) {
        Some(Runtime::Ecs)
    } else if is_grouped(name, &[8, 4, 4, 4, 4], "-") {
        Some(Runtime::Garden)
    } else if is_uuid(name) && above.last() == Some(&"mesos") {
        Some(Runtime::Mesos)
    } else if above == ["default"] && CHOSEN.contains(&name.len()) && is_chosen(name) {
        Some(Runtime::Containerd)
    } else {
        None
    }
}

/// The uid of the innermost pod.
pub(super) fn pod_uid(segments: &[&str]) -> Option<String> {
    segments.iter().rev().find_map(|segment| {
        // `<slice>:<prefix>:<id>`, where containerd does not know of systemd.
        let slice = segment.split(':').next()?;
        let name = slice.strip_suffix(".slice").unwrap_or(slice);
        // No digit is a `p`, so the last one begins the uid.
        let (before, uid) = name.rsplit_once("pod")?;
        let starts = before.is_empty() || before.ends_with('-');
        let fits = is_grouped(uid, &UUID, "-_") || (uid.len() == 32 && is_hex(uid));
        (starts && fits).then(|| uid.replace('_', "-"))
    })
}

const UUID: [usize; 5] = [8, 4, 4, 4, 12];

fn is_uuid(text: &str) -> bool {
    is_grouped(text, &UUID, "-")
}

/// Groups of hexadecimal digits of these lengths, each but the first after one of `separators`.
fn is_grouped(text: &str, lengths: &[usize], separators: &str) -> bool {
    let mut groups = text.split(|c| separators.contains(c));
    lengths.iter().all(|length| groups.next().is_some_and(|group| group.len() == *length && is_hex(group)))
        && groups.next().is_none()
}

/// The id of the task, then a number.
fn is_fargate(name: &str) -> bool {
    let parts = name.split_once('-');
    parts.is_some_and(|(task, number)| {
        task.len() == 32 && is_hex(task) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Lower case, as every runtime writes it.
fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What containerd takes for an id.
fn is_chosen(text: &str) -> bool {
    text.split(['-', '_', '.'])
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
