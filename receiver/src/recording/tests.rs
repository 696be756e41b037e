//! A recording as a file: what comes back of it, and what is refused.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use convis_ebpf::wire::kind;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::outside::{Outside, Question};

const PATIENCE: Duration = Duration::from_secs(10);

fn header() -> Header {
    Header {
        version: "0.0.0".to_owned(),
        host: HostFacts { name: "node".to_owned(), ..HostFacts::default() },
        attached: at(1),
        seed: 7,
        own_listener: Some((([127, 0, 0, 1], 8469).into(), 4)),
    }
}

fn at(boot_ns: u64) -> Instant {
    Instant { ahead_ns: 1_795_000_000_000_000_000, boot_ns }
}

/// What one step gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Given {
    /// Of two drains.
    ring: [Vec<Vec<u8>>; 2],
    ledger: Vec<(u64, Vec<u8>)>,
    live: Vec<Vec<u8>>,
    seen: u64,
    user: Option<String>,
}

impl Given {
    fn records(&self) -> u64 {
        (self.ring.iter().map(Vec::len).sum::<usize>() + self.ledger.len() + self.live.len()) as u64
    }
}

fn record(path: &Path, steps: &[Given]) -> Outcome {
    let tape = Rc::new(RefCell::new(Tape::create(path, &header()).unwrap()));
    let put = |item: Item<'_>| tape.borrow_mut().put(&item);
    tape.borrow_mut().begin(Step::Start, at(2));
    let mut seen = None;
    for (number, given) in (10..).zip(steps) {
        tape.borrow_mut().begin(Step::Drain, at(number));
        for drain in &given.ring {
            for bytes in drain {
                put(Item::Ring(Raw::of(bytes)));
            }
            put(Item::Drained);
        }
        for (key, bytes) in &given.ledger {
            put(Item::Entry(*key, Raw::of(bytes)));
        }
        put(Item::Swept);
        for bytes in &given.live {
            put(Item::Live(Raw::of(bytes)));
        }
        put(Item::Walked);
        let mut counters = format::counters(&[]);
        counters.seen[usize::from(kind::CLOSED)] = given.seen;
        let is_same = seen.replace(given.seen) == Some(given.seen);
        put(if is_same { Item::SameCounters } else { Item::Counters(words(&counters)) });
        let outside = Outside::Recorded(Rc::clone(&tape));
        assert_eq!(outside.ask(Question::User(3), || given.user.clone()), given.user);
    }
    tape.borrow_mut().begin(Step::Last, at(99));
    tape.borrow_mut().finish(PATIENCE)
}

fn replay(player: &mut Player) -> Vec<Given> {
    let outside = Outside::Replayed(player.answers());
    let mut steps = Vec::new();
    while let Some((step, now)) = player.next_step().unwrap() {
        if step == Step::Last {
            assert_eq!(now, at(99));
            continue;
        }
        assert_eq!((step, now), (Step::Drain, at(10 + steps.len() as u64)));
        let mut given = Given::default();
        for drain in &mut given.ring {
            player.ring(|bytes| drain.push(bytes.to_vec()));
        }
        player.ledger(|key, bytes| given.ledger.push((key, bytes.to_vec())));
        player.live(|bytes| given.live.push(bytes.to_vec()));
        given.seen = player.counters().seen[usize::from(kind::CLOSED)];
        given.user = outside.ask(Question::User(3), || panic!("a replay asks nobody"));
        steps.push(given);
    }
    steps
}

fn new_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    (folder, path)
}

fn some_steps() -> Vec<Given> {
    let step = |number: u8| Given {
        ring: [vec![vec![number; 128], vec![0; 48]], vec![vec![1, 2, 0, 0]]],
        ledger: vec![(7, vec![number; 192])],
        live: vec![vec![3; 208]],
        seen: u64::from(number),
        user: Some(format!("user{number}")),
    };
    (1..=5).map(step).collect()
}

fn given() -> impl Strategy<Value = Given> {
    let bytes = || proptest::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..300);
    let many = move || proptest::collection::vec(bytes(), 0..4);
    let ledger = proptest::collection::vec((any::<u64>(), bytes()), 0..3);
    let user = proptest::option::of("[a-z]{0,9}");
    (many(), many(), ledger, many(), 0..3_u64, user).prop_map(|(one, two, ledger, live, seen, user)| Given {
        ring: [one, two],
        ledger,
        live,
        seen,
        user,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Scenario: any steps are recorded and replayed.
    /// Guarantees: every call is answered as it was, in its step, at its time; and all are counted.
    #[test]
    fn what_was_recorded_comes_back(steps in proptest::collection::vec(given(), 0..8)) {
        let (_folder, path) = new_file();
        let records: u64 = steps.iter().map(Given::records).sum();
        prop_assert_eq!(record(&path, &steps), Outcome { written: records, missing: 0 });
        let mut player = Player::open(&path).unwrap();
        let contents = player.contents().clone();
        prop_assert_eq!(contents.header, header());
        prop_assert_eq!((contents.records, contents.steps), (records, steps.len() as u64 + 2));
        prop_assert!(contents.is_complete && contents.torn_bytes == 0);
        prop_assert_eq!(player.start(), at(2));
        prop_assert_eq!(replay(&mut player), steps);
    }
}

/// Scenario: a recording is cut at every byte, as a kill does it; and zeros lie behind, as a power cut leaves them.
/// Guarantees: the whole steps before the cut, nothing of the one in the middle, and how many bytes are left out; never an
/// error but where not even the beginning is there.
#[test]
fn a_torn_end_is_left_out() {
    let (_folder, path) = new_file();
    let steps = some_steps();
    record(&path, &steps);
    let whole = fs::read(&path).unwrap();
    let mut ends = Vec::new();
    for cut in 0..=whole.len() {
        let contents = match verify(&whole[..cut]) {
            Ok(contents) => contents,
            Err(ReplayError::Foreign | ReplayError::Damaged(_)) if cut < 100 => continue,
            Err(error) => panic!("{cut}: {error}"),
        };
        if contents.torn_bytes == 0 {
            ends.push(cut);
        }
        let whole_until = cut - usize::try_from(contents.torn_bytes).unwrap();
        assert_eq!(ends.last(), Some(&whole_until));
        assert_eq!(contents.is_complete, cut == whole.len());
        let zeros = [&whole[..whole_until], &[0; 5000]].concat();
        let with_zeros = verify(&zeros[..]).unwrap();
        assert_eq!((with_zeros.steps, with_zeros.torn_bytes), (contents.steps, 5000));
    }
    // After the header, the start, each step and the last.
    assert_eq!(ends.len(), steps.len() + 3);
    fs::write(&path, &whole[..ends[4] - 1]).unwrap();
    assert_eq!(replay(&mut Player::open(&path).unwrap()), steps[..2]);
}

/// Scenario: each byte of a recording in turn is another one.
/// Guarantees: it is refused, or, where the length of a frame reaches beyond the end, the rest is left out: no step is wrong.
#[test]
fn damage_is_found() {
    let (_folder, path) = new_file();
    record(&path, &some_steps());
    let whole = fs::read(&path).unwrap();
    let contents = verify(&whole[..]).unwrap();
    let mut torn = 0;
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        match verify(&damaged[..]) {
            // Two bytes that say nothing.
            Ok(same) if (10..12).contains(&at) => assert_eq!(same, contents),
            Ok(fewer) => {
                assert!(fewer.steps < contents.steps && fewer.torn_bytes > 0, "{at}");
                torn += 1;
            }
            Err(ReplayError::Foreign) => assert!(at < 8, "{at}"),
            Err(ReplayError::Format(_)) => assert!((8..10).contains(&at), "{at}"),
            Err(ReplayError::Layout) => assert!((12..16).contains(&at), "{at}"),
            Err(ReplayError::Damaged(frame)) => assert!((16..=at as u64).contains(&frame), "{at}"),
            Err(ReplayError::Read(error)) => panic!("{error}"),
        }
    }
    // One bit of each of the upper three length bytes of a frame makes it longer than the file, but not too long for one.
    assert!(torn <= 3 * (contents.steps + 1), "{torn}");
}

/// Scenario: files that are no recordings, or those of another version.
/// Guarantees: one line that says so.
#[test]
fn other_files_are_refused() {
    let (_folder, path) = new_file();
    record(&path, &[]);
    let whole = fs::read(&path).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut other = whole.clone();
        other[at..at + bytes.len()].copy_from_slice(bytes);
        verify(&other[..]).unwrap_err().to_string()
    };
    assert_eq!(verify(&b"a text\n"[..]).unwrap_err().to_string(), "it is no recording of convis");
    assert_eq!(with(0, b"\x7fELF"), "it is no recording of convis");
    assert!(with(8, &[2, 0]).starts_with("its format 2 is not the one of this convis, 1;"));
    assert!(with(12, &[0; 4]).starts_with("its records are of another version"));
    assert_eq!(with(20, &[0]), "it is damaged at byte 16");
}

/// Scenario: a frame whose items make no steps, or whose answer is none to its question.
/// Guarantees: refused.
#[test]
fn items_out_of_place_are_damage() {
    let begin = |step| Item::Step(step, at(1));
    let file = |items: &[Item<'_>]| {
        let header = postcard::to_extend(&header(), Vec::new()).unwrap();
        let payload = items.iter().fold(Vec::new(), |payload, item| item.append_to(payload));
        [&format::start()[..], &format::frame(&header), &format::frame(&payload)].concat()
    };
    let question = postcard::to_extend(&Question::HasV1, Vec::new()).unwrap();
    let answer = |answer| Item::Answer { question: &question, answer };
    let whole = file(&[begin(Step::Start), answer(&[1]), Item::End]);
    assert_eq!(verify(&whole[..]).unwrap().steps, 1);
    for items in [
        &[Item::Drained][..],
        &[Item::End],
        &[begin(Step::Drain), Item::End],
        &[begin(Step::Start), begin(Step::Drain)],
        &[begin(Step::Start), Item::End, begin(Step::Drain), Item::End],
        &[begin(Step::Start), answer(&[2]), Item::End],
        &[begin(Step::Start), answer(&[1, 1]), Item::End],
        &[begin(Step::Start), Item::Answer { question: &[99], answer: &[] }, Item::End],
    ] {
        let refused = verify(&file(items)[..]);
        assert!(matches!(refused, Err(ReplayError::Damaged(_))), "{items:?} {refused:?}");
    }
}

/// Scenario: the name of a recording is taken; nobody else may read a new one.
/// Guarantees: what is there stays as it was; mode 0600.
#[test]
fn nothing_is_overwritten() {
    let (_folder, path) = new_file();
    fs::write(&path, "dear").unwrap();
    let refused = Tape::create(&path, &header()).unwrap_err();
    assert!(refused.to_string().contains("it exists"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"dear");
    fs::remove_file(&path).unwrap();
    record(&path, &[]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Scenario: the disk takes nothing more.
/// Guarantees: the recording ends, what is missing is counted, and nobody is held up.
#[test]
fn a_full_disk_ends_it() {
    let mut tape = Tape::on(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    tape.begin(Step::Start, at(1));
    for number in 0..50 {
        tape.begin(Step::Drain, at(number));
        tape.put(&Item::Ring(Raw::of(&[1; 128])));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(tape.finish(PATIENCE), Outcome { written: 0, missing: 50 });
}

/// Scenario: a question is asked more often than it was, and in a later step; news are told.
/// Guarantees: the last answer stays for its step, a user's name for good; news come once.
#[test]
fn answers_last_as_long_as_they_should() {
    let answers = Rc::new(RefCell::new(crate::outside::Answers::default()));
    let outside = Outside::Replayed(Rc::clone(&answers));
    let start_ticks = || outside.ask(Question::StartTicks(5), || Some(0_u64));
    let add = |question: Question<'_>, answer: &[u8]| {
        answers.borrow_mut().add(&postcard::to_extend(&question, Vec::new()).unwrap(), answer);
    };
    add(Question::StartTicks(5), &[1, 8]);
    add(Question::StartTicks(5), &[0]);
    add(Question::User(1), &[1, 1, b'a']);
    add(Question::News, &[1, 2, b'a', b'b']);
    assert_eq!([start_ticks(), start_ticks(), start_ticks()], [Some(8), None, None]);
    let news = || outside.ask(Question::News, Vec::<crate::container::ContainerId>::new);
    assert_eq!((news().len(), news().len()), (1, 0));
    answers.borrow_mut().clear();
    add(Question::StartTicks(6), &[1, 8]);
    assert_eq!(start_ticks(), None);
    assert_eq!(outside.ask(Question::User(1), || None::<String>).as_deref(), Some("a"));
}
