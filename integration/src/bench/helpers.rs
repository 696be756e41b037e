//! Starts and ends the processes of [`super::actors`].

use std::io::{BufRead as _, BufReader, PipeWriter};
use std::process::{Child, Command, Stdio};

/// Helper processes. They end when this is dropped, or when this process ends, however that does.
pub(super) struct Helpers {
    children: Vec<Child>,
    /// They read from its other end.
    reins: Option<PipeWriter>,
}

impl Helpers {
    /// As many as there are argument lists, all of them ready; an error says why there are not.
    pub(super) fn start(all: &[Vec<String>]) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("no helper processes: {error}");
        let (reader, reins) = std::io::pipe().map_err(failed)?;
        let mut helpers = Self { children: Vec::new(), reins: Some(reins) };
        let program = std::env::current_exe().map_err(failed)?.with_file_name("load");
        for arguments in all {
            let child = Command::new(&program)
                .args(arguments)
                .stdin(Stdio::from(reader.try_clone().map_err(failed)?))
                .stdout(Stdio::piped())
                .spawn()
                .map_err(|error| format!("{}: {error}", program.display()))?;
            helpers.children.push(child);
            // One that is late holds up the next, so that there are never thousands of open pipes.
            helpers.ready()?;
        }
        Ok(helpers)
    }

    fn ready(&mut self) -> Result<(), String> {
        let output = self.children.last_mut().and_then(|child| child.stdout.take());
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        if line.trim() == "ready" { Ok(()) } else { Err("a helper process ended early".to_owned()) }
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        drop(self.reins.take());
        for child in &mut self.children {
            // Fails only when it was waited for already.
            drop(child.wait());
        }
    }
}
