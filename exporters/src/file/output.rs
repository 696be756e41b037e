//! A file that takes whole lines and is renamed when it is full: `path` becomes `path.1`, that `path.2`, and so on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use convis_otel_config::FileConfig;

/// Who talks to whom is not for everyone to read.
const MODE: u32 = 0o640;

/// The file at a path and those that it was before.
pub(super) struct Output {
    path: PathBuf,
    max_bytes: u64,
    max_backups: u32,
    /// `None` when it has to be opened first.
    file: Option<File>,
    /// The size before a write that failed and could not be undone yet.
    undo_to: Option<u64>,
}

impl Output {
    /// Opens the file, or makes it; what is in it stays.
    ///
    /// # Errors
    /// It cannot be opened for appending.
    pub(super) fn open(config: &FileConfig) -> io::Result<Self> {
        Ok(Self {
            path: config.path.clone(),
            max_bytes: config.max_bytes,
            max_backups: config.max_backups,
            file: Some(open(&config.path)?),
            undo_to: None,
        })
    }

    /// Leaves the file that was opened to whoever moved it, and opens the one at the path. Where that fails, the next
    /// write tries again.
    pub(super) fn reopen(&mut self) {
        self.undo();
        self.undo_to = None;
        self.file = open(&self.path).ok();
    }

    /// Writes whole lines, all of them into one file, or none.
    ///
    /// # Errors
    /// Nothing was written; it may work later.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.undo() {
            return Err(io::Error::other("what was half written before cannot be taken back"));
        }
        let mut size = self.size()?;
        // Another program may have made the file smaller meanwhile, so the size is never our own sum.
        if size > 0 && size.saturating_add(lines.len() as u64) > self.max_bytes {
            self.rotate()?;
            size = self.size()?;
        }
        let written = self.file()?.write_all(lines);
        if written.is_err() {
            self.undo_to = Some(size);
            self.undo();
        }
        written
    }

    /// Takes back what a failed write left; `false` when that has to be tried again.
    fn undo(&mut self) -> bool {
        let (Some(size), Some(file)) = (self.undo_to, &self.file) else {
            return true;
        };
        // A device has no size, and nothing to take back.
        let undone = file.metadata().is_ok_and(|data| !data.is_file()) || file.set_len(size).is_ok();
        if undone {
            self.undo_to = None;
        }
        undone
    }

    fn file(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        Ok(self.file.insert(file))
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(self.file()?.metadata()?.len())
    }

    /// Makes room at the path.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        if self.max_backups == 0 {
            absent_is_fine(fs::remove_file(&self.path))?;
        } else {
            // Only up to the first gap, so that an attempt that failed halfway and is made again costs no file.
            let is_free = |number: &u32| fs::symlink_metadata(self.backup(*number)).is_err();
            let last = (1..self.max_backups).find(is_free).unwrap_or(self.max_backups);
            for number in (1..last).rev() {
                fs::rename(self.backup(number), self.backup(number + 1))?;
            }
            absent_is_fine(fs::rename(&self.path, self.backup(1)))?;
        }
        self.file().map(|_| ())
    }

    fn backup(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

/// Another program may have moved the file away.
fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Opens a file for appending; a line that a crash has torn is ended there.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(MODE).open(path)?;
    let data = file.metadata()?;
    let mut last = [b'\n'];
    if data.is_file() && data.len() > 0 {
        file.read_exact_at(&mut last, data.len() - 1)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
