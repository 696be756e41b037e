use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A folder with an output of this size and so many backups.
struct Place {
    folder: TempDir,
    config: FileConfig,
}

impl Place {
    fn new(max_bytes: u64, max_backups: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        Self { config: FileConfig { path, max_bytes, max_backups }, folder }
    }

    fn open(&self) -> Output {
        Output::open(&self.config).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| format!("{error}"))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Scenario: writes that just fit, and one byte more.
/// Guarantees: a file grows to exactly its size, the oldest backup goes, the newest is number 1.
#[test]
fn files_are_renamed_when_full() {
    let place = Place::new(10, 2);
    let mut output = place.open();
    for lines in ["aaaa\n", "bbbb\n", "c\n", "ddddddd\n", "eeeeeeeee\n", "f\n"] {
        output.write(lines.as_bytes()).unwrap();
    }
    assert_eq!(place.names(), ["log", "log.1", "log.2"]);
    assert_eq!(place.read("log"), "f\n");
    assert_eq!(place.read("log.1"), "eeeeeeeee\n");
    assert_eq!(place.read("log.2"), "c\nddddddd\n");
    assert_eq!(fs::metadata(place.path("log")).unwrap().permissions().mode() & 0o777, MODE);
}

/// Scenario: no backups are wanted.
/// Guarantees: a full file makes way.
#[test]
fn without_backups_a_full_file_goes() {
    let place = Place::new(4, 0);
    let mut output = place.open();
    output.write(b"aaa\n").unwrap();
    output.write(b"bbb\n").unwrap();
    assert_eq!((place.names(), place.read("log").as_str()), (vec!["log".to_owned()], "bbb\n"));
}

/// Scenario: a start with a file that is there, once whole and once with a torn last line.
/// Guarantees: what is there stays and counts for the size, and a new line never continues a torn one.
#[test]
fn a_file_that_is_there_is_continued() {
    let place = Place::new(100, 1);
    fs::write(place.path("log"), "whole\n").unwrap();
    place.open().write(b"new\n").unwrap();
    assert_eq!(place.read("log"), "whole\nnew\n");
    fs::write(place.path("log"), "torn").unwrap();
    place.open().write(b"new\n").unwrap();
    assert_eq!(place.read("log"), "torn\nnew\n");
}

/// Scenario: another program moves the file away, and asks for a new one; another makes it empty.
/// Guarantees: lines go to the moved file until then, to a new one after that; sizes are those of the files.
#[test]
fn a_moved_file_is_left_when_asked() {
    let place = Place::new(8, 1);
    let mut output = place.open();
    output.write(b"one\n").unwrap();
    fs::rename(place.path("log"), place.path("moved")).unwrap();
    output.write(b"two\n").unwrap();
    assert_eq!(place.names(), ["moved"]);
    output.reopen();
    assert_eq!(place.names(), ["log", "moved"]);
    output.write(b"three\n").unwrap();
    assert_eq!((place.read("moved").as_str(), place.read("log").as_str()), ("one\ntwo\n", "three\n"));
    File::create(place.path("log")).unwrap();
    output.write(b"four\n").unwrap();
    assert_eq!((place.read("log").as_str(), place.names().len()), ("four\n", 2));
}

/// Scenario: a rename cannot be done, again and again, and then can.
/// Guarantees: nothing is written meanwhile, no backup is lost by trying, and then all goes on.
#[test]
fn a_failed_rotation_costs_nothing() {
    let place = Place::new(4, 3);
    let mut output = place.open();
    for lines in ["aaa\n", "bbb\n", "ccc\n"] {
        output.write(lines.as_bytes()).unwrap();
    }
    // A folder that is not empty cannot be replaced by a file.
    fs::create_dir_all(place.path("log.3/full")).unwrap();
    for _ in 0..3 {
        assert!(output.write(b"ddd\n").is_err());
    }
    assert_eq!(["log", "log.1", "log.2"].map(|name| place.read(name)), ["ccc\n", "bbb\n", "aaa\n"]);
    fs::remove_dir_all(place.path("log.3")).unwrap();
    output.write(b"ddd\n").unwrap();
    let files = ["log", "log.1", "log.2", "log.3"].map(|name| place.read(name));
    assert_eq!(files, ["ddd\n", "ccc\n", "bbb\n", "aaa\n"]);
}

/// Scenario: the folder is gone when the file is to be opened again, and then returns.
/// Guarantees: writes fail until then, and work after.
#[test]
fn a_missing_folder_is_waited_for() {
    let place = Place::new(100, 1);
    fs::create_dir(place.path("sub")).unwrap();
    let config = FileConfig { path: place.path("sub/log"), ..place.config.clone() };
    let mut output = Output::open(&config).unwrap();
    fs::remove_dir_all(place.path("sub")).unwrap();
    output.reopen();
    assert_eq!(output.write(b"x\n").unwrap_err().kind(), io::ErrorKind::NotFound);
    fs::create_dir(place.path("sub")).unwrap();
    output.write(b"x\n").unwrap();
    assert_eq!(place.read("sub/log"), "x\n");
    assert!(Output::open(&FileConfig { path: place.path("none/log"), ..config }).is_err());
}

/// Scenario: a device that is full.
/// Guarantees: the error is the disk's own, each time.
#[test]
fn a_full_device_says_so() {
    let mut output =
        Output::open(&FileConfig { path: "/dev/full".into(), max_bytes: 10, max_backups: 0 }).unwrap();
    for _ in 0..2 {
        assert_eq!(output.write(b"x\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}

/// What happens to an output.
#[derive(Debug, Clone)]
enum Step {
    /// Lines of these lengths in one write.
    Write(Vec<usize>),
    MoveAndReopen,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::collection::vec(1_usize..9, 1..4).prop_map(Step::Write),
        1 => Just(Step::MoveAndReopen),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Scenario: any writes, with rotations, moves by another program and restarts between them, and room for all backups.
    /// Guarantees: the files hold every line once, whole and in order, and none is larger than allowed.
    #[test]
    fn no_line_is_lost_or_torn(steps in proptest::collection::vec(step(), 1..60)) {
        const MAX: u64 = 40;
        let place = Place::new(MAX, 1000);
        let mut output = place.open();
        let mut all = Vec::new();
        let mut moved = String::new();
        for step in steps {
            match step {
                Step::Write(lengths) => {
                    let lines: String = lengths.iter().map(|length| {
                        let line = format!("{}{}", all.len(), "x".repeat(*length));
                        all.push(line.clone());
                        line + "\n"
                    }).collect();
                    output.write(lines.as_bytes()).unwrap();
                }
                Step::MoveAndReopen => {
                    moved += &take_all(&place);
                    output.reopen();
                }
                Step::Restart => output = place.open(),
            }
        }
        for name in place.names() {
            prop_assert!(fs::metadata(place.path(&name)).unwrap().len() <= MAX);
        }
        moved += &take_all(&place);
        let lines: Vec<_> = moved.lines().map(str::to_owned).collect();
        prop_assert_eq!(lines, all);
        prop_assert!(moved.is_empty() || moved.ends_with('\n'));
    }
}

/// The content of all files, oldest first, which are then gone.
fn take_all(place: &Place) -> String {
    let number = |name: &str| name.strip_prefix("log.").map_or(0, |number| number.parse::<u32>().unwrap());
    let mut names = place.names();
    names.sort_by_key(|name| std::cmp::Reverse(number(name)));
    let text = names.iter().map(|name| place.read(name)).collect();
    for name in &names {
        fs::remove_file(place.path(name)).unwrap();
    }
    text
}
