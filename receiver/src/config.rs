//! `--config FILE`: what it says, under what the command line says.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use convis_otel_config::yaml::{Errors, MAX_BYTES};
use convis_otel_config::{ConfigFile, Sources};

use crate::cli::Run;
use crate::fatal::Fatal;

/// Reads the file, and the options that it and the command line come to.
///
/// # Errors
/// The file cannot be read, or something in it is wrong; then every line of what is.
pub fn read(path: &Path, given: &Run, sources: &Sources<'_>) -> Result<(ConfigFile, Run), Fatal> {
    let (content, for_all) = content(path)
        .map_err(|error| Fatal::Usage(format!("cannot read {}: {error}; check --config", path.display())))?;
    let errors = Errors::new(path.display().to_string());
    let file = ConfigFile::read(&content, sources, &errors);
    let options = given.with(&file.settings, &errors);
    let Some(options) = options.filter(|_| errors.is_empty()) else {
        return Err(Fatal::ConfigFile(errors.into_lines()));
    };
    if file.has_secret && for_all {
        (sources.warn)(format!(
            "{} has secrets and every user may read it; chmod 600, or write ${{env:NAME}} or ${{file:PATH}} in it",
            path.display()
        ));
    }
    Ok((file, options))
}

/// The content, a little more than allowed at most, and whether every user may read it.
fn content(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    const OTHERS_READ: u32 = 0o004;
    let file = File::open(path)?;
    let for_all = file.metadata()?.permissions().mode() & OTHERS_READ != 0;
    let mut content = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok((content, for_all))
}
