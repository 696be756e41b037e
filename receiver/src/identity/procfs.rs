//! Processes as `/proc` shows them: those that began before convis, and what a lost record leaves unknown.

use std::path::Path;
use std::rc::Rc;

use ::procfs::process::{self, Stat};
use ::procfs::{FromRead as _, ProcResult};

use super::process::{Image, Process};

/// What `/proc` appends to the path of an executable that is no longer there.
const DELETED: &str = " (deleted)";

/// Every process there is. One that ends meanwhile is left out.
///
/// # Errors
/// `root` is no procfs.
pub(super) fn all(root: &Path) -> ProcResult<Vec<Process>> {
    let processes = process::all_processes_with_root(root)?;
    Ok(processes.flatten().filter_map(|found| one(root, found.pid.unsigned_abs())).collect())
}

/// One process, if it is there.
pub(super) fn one(root: &Path, pid: u32) -> Option<Process> {
    let directory = root.join(pid.to_string());
    let stat = stat(&directory)?;
    let image = Rc::new(image(&directory, &stat));
    let process = Process::new(pid, stat.ppid.unsigned_abs(), stat.starttime, None, image);
    Some(process.with_vpid(vpid(&directory.join("status"))))
}

/// When the process started, in ticks since boot, if it is there.
pub(super) fn start_ticks(root: &Path, pid: u32) -> Option<u64> {
    stat(&root.join(pid.to_string())).map(|stat| stat.starttime)
}

/// The `stat` in the directory of a process: `pid (name) state ...`. procfs panics on what is not of this form, which is no
/// harm to be had from a procfs that is not the kernel's.
fn stat(directory: &Path) -> Option<Stat> {
    let text = std::fs::read(directory.join("stat")).ok()?;
    let name = text.iter().position(|byte| *byte == b'(')?;
    let end = text.iter().rposition(|byte| *byte == b')').filter(|end| *end > name)?;
    let begins =
        matches!(&text[..name], [pid @ .., b' '] if !pid.is_empty() && pid.iter().all(u8::is_ascii_digit));
    let goes_on = matches!(&text[end..], [b')', b' ', state, ..] if state.is_ascii_alphabetic());
    (begins && goes_on).then(|| Stat::from_read(text.as_slice()).ok()).flatten()
}

/// The process id in the innermost pid namespace: the last one of `NSpid`.
fn vpid(status: &Path) -> Option<u32> {
    let status = std::fs::read_to_string(status).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    ids.split_whitespace().next_back()?.parse().ok()
}

fn image(directory: &Path, stat: &Stat) -> Image {
    let path = std::fs::read_link(directory.join("exe")).ok();
    let path = path.map(|path| path.to_string_lossy().into_owned());
    let path = path.map(|path| path.strip_suffix(DELETED).unwrap_or(&path).to_owned());
    let name = path.as_deref().and_then(|path| path.rsplit('/').next());
    Image {
        name: name.map_or_else(|| stat.comm.clone(), str::to_owned),
        command: command(&directory.join("cmdline")),
        path,
    }
}

/// `argv[0]`; a kernel thread has none.
fn command(cmdline: &Path) -> Option<String> {
    let arguments = std::fs::read(cmdline).ok()?;
    let first = arguments.split(|&byte| byte == 0).next().filter(|text| !text.is_empty())?;
    Some(String::from_utf8_lossy(first).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: this test's own process.
    /// Guarantees: the names that `/proc/self` shows by other ways.
    #[test]
    fn finds_itself() {
        let own = one(Path::new("/proc"), std::process::id()).unwrap();
        let path = std::env::current_exe().unwrap();
        assert_eq!(own.image.path.as_deref(), path.to_str());
        assert_eq!(Some(own.image.name.as_str()), path.file_name().unwrap().to_str());
        assert_eq!(own.image.command, std::env::args().next());
        assert_eq!(own.parent_pid, std::os::unix::process::parent_id());
        assert!(all(Path::new("/proc")).unwrap().iter().any(|found| found.pid == own.pid));
    }

    /// Scenario: files that are no `stat`, but nearly.
    /// Guarantees: no process, and no panic.
    #[test]
    fn refuses_what_is_no_stat() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("7")).unwrap();
        for text in [
            "",
            "7",
            "(",
            ")(",
            "7 (a)",
            "7 (a)  ",
            " (a) S 1",
            "\u{e9}(a) S 1",
            "7 (a)\u{e9} 1",
            "7 (a) S 1",
        ] {
            std::fs::write(root.path().join("7/stat"), text).unwrap();
            assert_eq!(start_ticks(root.path(), 7), None, "{text}");
            assert!(one(root.path(), 7).is_none(), "{text}");
        }
    }

    /// Scenario: a process in a pid namespace whose executable was removed, and one that is a kernel thread.
    /// Guarantees: the path without the kernel's note, the id it has inside if that is another; the thread's own name.
    #[test]
    fn reads_what_is_left() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("7");
        std::fs::create_dir(&directory).unwrap();
        let numbers = (5..=52).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        std::fs::write(directory.join("stat"), format!("7 (kworker/0:1) S 2 {numbers}\n")).unwrap();
        let thread = one(root.path(), 7).unwrap();
        assert_eq!((thread.image.name.as_str(), thread.image.path.as_deref()), ("kworker/0:1", None));
        assert_eq!((thread.parent_pid, thread.start_ticks, &thread.image.command), (2, 22, &None));
        assert_eq!(thread.vpid, None);
        std::os::unix::fs::symlink("/opt/app (deleted)", directory.join("exe")).unwrap();
        std::fs::write(directory.join("cmdline"), b"app\0--secret\0").unwrap();
        std::fs::write(directory.join("status"), "Name:\tapp\nNSpid:\t7\t31\t2\nThreads:\t1\n").unwrap();
        let gone = one(root.path(), 7).unwrap();
        assert_eq!((gone.image.name.as_str(), gone.image.path.as_deref()), ("app", Some("/opt/app")));
        assert_eq!((gone.image.command.as_deref(), gone.vpid), (Some("app"), Some(2)));
        std::fs::write(directory.join("status"), "NSpid:\t7\n").unwrap();
        assert_eq!(one(root.path(), 7).unwrap().vpid, None);
    }
}
