//! The file: numbered records, each transaction on disk before it counts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

/// Encoded events by number.
const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
/// Events and bytes of each record, so that a start need not read the records.
const SIZES: TableDefinition<'_, u64, (u32, u32)> = TableDefinition::new("sizes");
/// What describes the file itself.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
/// Of these tables.
const FORMAT: u64 = 1;
/// Memory for pages: little is ever read twice.
const CACHE_BYTES: usize = 4 << 20;

/// How large a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Events.
    pub(super) records: u32,
    /// Bytes, encoded.
    pub(super) bytes: u32,
}

/// A record to write.
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) size: Size,
    pub(super) bytes: Vec<u8>,
}

/// An open file, locked against other processes.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// `None` after a failure, until it can be opened again.
    file: RwLock<Option<Database>>,
    /// Goes after the file.
    open: Arc<()>,
}

impl Store {
    /// Opens or makes a file, and lists what it holds in order.
    ///
    /// # Errors
    /// One line: why, and what to do.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<(u64, Size)>), String> {
        let database = database(path).map_err(|error| explained(&error))?;
        let broken = |error: redb::Error| format!("{error}; {MOVE_AWAY}");
        match format(&database).map_err(broken)? {
            FORMAT => {}
            other => {
                return Err(format!("it has format {other} of another version of convis; {MOVE_AWAY}"));
            }
        }
        let held = sizes(&database).map_err(broken)?;
        let file = RwLock::new(Some(database));
        Ok((Self { path: path.to_owned(), file, open: Arc::new(()) }, held))
    }

    /// Writes and deletes, and returns once that is on disk.
    ///
    /// # Errors
    /// When it failed: then nothing was changed.
    pub(super) fn commit(&self, add: &[Record], remove: &[u64]) -> Result<(), redb::Error> {
        if self.file().is_none() {
            self.reopen();
        }
        let result = match self.file().as_ref() {
            Some(database) => change(database, add, remove),
            None => Err(redb::Error::PreviousIo),
        };
        if result.is_err() {
            // After a failure only a file that is opened anew can be read.
            self.reopen();
        }
        result
    }

    /// The bytes of a record, `None` when there are none.
    ///
    /// # Errors
    /// When the file cannot be read now.
    pub(super) fn read(&self, number: u64) -> Result<Option<Vec<u8>>, redb::Error> {
        let file = self.file();
        let transaction = file.as_ref().ok_or(redb::Error::PreviousIo)?.begin_read()?;
        let records = transaction.open_table(RECORDS)?;
        Ok(records.get(number)?.map(|bytes| bytes.value().to_vec()))
    }

    /// Held until the file is closed.
    pub(super) fn is_open(&self) -> Weak<()> {
        Arc::downgrade(&self.open)
    }

    /// Closes the file, as a failure does.
    #[cfg(test)]
    pub(super) fn fail(&self) {
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn file(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn reopen(&self) {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        *file = None;
        *file = database(&self.path).ok();
    }
}

const MOVE_AWAY: &str = "move the file away to begin anew without what it holds";

fn database(path: &Path) -> Result<Database, DatabaseError> {
    // The check costs a read of what is held; without it a damaged file would be found out later and less gracefully.
    Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create(path)
}

fn explained(error: &DatabaseError) -> String {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            "another convis uses it; give each its own `storage` directory".to_owned()
        }
        error => format!("{error}; {MOVE_AWAY}, or check the disk and its permissions"),
    }
}

/// The format of the file; of a new one, which then has it.
fn format(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    let format = {
        let mut about = transaction.open_table(ABOUT)?;
        let format = about.get("format")?.map(|value| value.value());
        if format.is_none() {
            about.insert("format", FORMAT)?;
            transaction.open_table(RECORDS)?;
            transaction.open_table(SIZES)?;
        }
        format.unwrap_or(FORMAT)
    };
    transaction.commit()?;
    Ok(format)
}

fn sizes(database: &Database) -> Result<Vec<(u64, Size)>, redb::Error> {
    let transaction = database.begin_read()?;
    let sizes = transaction.open_table(SIZES)?;
    let mut held = Vec::new();
    for entry in sizes.iter()? {
        let (number, size) = entry?;
        let (records, bytes) = size.value();
        held.push((number.value(), Size { records, bytes }));
    }
    Ok(held)
}

fn change(database: &Database, add: &[Record], remove: &[u64]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut records = transaction.open_table(RECORDS)?;
        let mut sizes = transaction.open_table(SIZES)?;
        for record in add {
            records.insert(record.number, record.bytes.as_slice())?;
            sizes.insert(record.number, (record.size.records, record.size.bytes))?;
        }
        for number in remove {
            records.remove(number)?;
            sizes.remove(number)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
