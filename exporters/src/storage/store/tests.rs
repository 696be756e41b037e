use super::*;

fn record(number: u64, bytes: &[u8]) -> Record {
    let size = Size { records: 3, bytes: u32::try_from(bytes.len()).unwrap() };
    Record { number, size, bytes: bytes.to_vec() }
}

/// Scenario: records are written and deleted, and the file is opened again.
/// Guarantees: what was not deleted is there, in order, with its size.
#[test]
fn what_was_written_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let (store, held) = Store::open(&path).unwrap();
    assert!(held.is_empty());
    store.commit(&[record(1, b"a"), record(2, b"bc"), record(300, b"d")], &[]).unwrap();
    store.commit(&[record(4, b"e")], &[1, 99]).unwrap();
    drop(store);
    let (store, held) = Store::open(&path).unwrap();
    let size = |bytes| Size { records: 3, bytes };
    assert_eq!(held, [(2, size(2)), (4, size(1)), (300, size(1))]);
    assert_eq!(store.read(2).unwrap().as_deref(), Some(&b"bc"[..]));
    assert_eq!(store.read(1).unwrap(), None);
}

/// Scenario: a second store on the same file, a file that is something else, one of a later version, and no permission.
/// Guarantees: each is refused in one line that says what to do, and the file is left as it is.
#[test]
fn what_cannot_be_used_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let (store, _) = Store::open(&path).unwrap();
    let error = Store::open(&path).err().unwrap();
    assert_eq!(error, "another convis uses it; give each its own `storage` directory");
    {
        let file = store.file();
        let transaction = file.as_ref().unwrap().begin_write().unwrap();
        transaction.open_table(ABOUT).unwrap().insert("format", 2).unwrap();
        transaction.commit().unwrap();
    }
    drop(store);
    let error = Store::open(&path).err().unwrap();
    assert!(error.starts_with("it has format 2 of another version of convis; move the file away"), "{error}");

    let foreign = folder.path().join("y");
    std::fs::write(&foreign, "not a store".repeat(1000)).unwrap();
    let error = Store::open(&foreign).err().unwrap();
    assert!(error.contains("move the file away") && error.lines().count() == 1, "{error}");
    assert_eq!(std::fs::read(&foreign).unwrap().len(), 11_000);
}

/// Scenario: bytes of a file's pages are damaged while nobody has it open.
/// Guarantees: it opens or is refused in one line; no panic, and what is read back is as it was or not there.
#[test]
fn a_damaged_file_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let (store, _) = Store::open(&path).unwrap();
    let bytes = vec![7; 3000];
    for number in 0..20 {
        store.commit(&[record(number, &bytes)], &[]).unwrap();
    }
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 50) {
        let mut damaged = whole.clone();
        damaged[at..(at + 64).min(whole.len())].fill(0xa5);
        std::fs::write(&path, damaged).unwrap();
        match Store::open(&path) {
            Ok((store, held)) => {
                for (number, _) in held {
                    assert_eq!(store.read(number).unwrap().as_ref(), Some(&bytes), "damage at {at}");
                }
            }
            Err(error) => {
                assert_eq!(error.lines().count(), 1, "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}
