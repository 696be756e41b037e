//! The kernel modules that scenarios use, with what they depend on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tool;

/// What cannot be had in a kernel is left out: it is built in, or scenarios say what they lack.
const WANTED: [&str; 8] = ["veth", "sch_netem", "sch_tbf", "tun", "tls", "tcp_diag", "nfsv4", "9pnet_fd"];

/// Copies them from the tree below `from` into the folder `into`, in an order that they can be inserted in, which
/// is that of their names there.
pub(super) fn collect(from: &Path, into: &Path) -> Result<(), String> {
    let mut collector = Collector { into, files: BTreeMap::new(), taken: Vec::new() };
    collector.find(from).map_err(|error| format!("{}: {error}", from.display()))?;
    fs::create_dir_all(into).map_err(|error| format!("{}: {error}", into.display()))?;
    WANTED.into_iter().try_for_each(|name| collector.take(name))
}

struct Collector<'a> {
    into: &'a Path,
    files: BTreeMap<String, PathBuf>,
    taken: Vec<String>,
}

impl Collector<'_> {
    fn find(&mut self, folder: &Path) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)?.flatten() {
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                self.find(&path)?;
            } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
                self.files.insert(name.replace('-', "_"), path);
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &str) -> Result<(), String> {
        let Some(file) = self.files.get(name) else { return Ok(()) };
        if self.taken.iter().any(|taken| taken == name) {
            return Ok(());
        }
        let module = read(file)?;
        self.taken.push(name.to_owned());
        for dependency in dependencies(&module) {
            self.take(&dependency)?;
        }
        // Dependencies first: their own have got lower numbers by now.
        let count = fs::read_dir(self.into).into_iter().flatten().count();
        let target = self.into.join(format!("{count:03}-{name}.ko"));
        fs::write(&target, module).map_err(|error| format!("{}: {error}", target.display()))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    if file.extension().is_some_and(|extension| extension == "xz") {
        let plain = file.with_extension("");
        if !plain.exists() {
            let mut unpack = Command::new("xz");
            unpack.arg("--decompress").arg("--keep").arg(file);
            tool::output(unpack)?;
        }
        return read(&plain);
    }
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// What the module says itself: the entry `depends=one,another` of its `.modinfo` section.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(begin) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[begin + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value).replace('-', "_");
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(depends: &str) -> Vec<u8> {
        format!("\x7fELF code\0license=GPL\0depends={depends}\0name=x\0").into_bytes()
    }

    /// Scenario: wanted modules in several folders, one with a chain of dependencies, one asked for twice.
    /// Guarantees: each once, dependencies before what needs them, nothing else.
    #[test]
    fn dependencies_come_first() {
        let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("net")).unwrap();
        let write = |path: &str, depends: &str| fs::write(from.path().join(path), module(depends)).unwrap();
        write("net/veth.ko", "");
        write("nfsv4.ko", "nfs,sunrpc");
        write("net/nfs.ko", "sunrpc,lock-d");
        write("net/lock-d.ko", "sunrpc");
        write("sunrpc.ko", "");
        write("net/unwanted.ko", "");
        collect(from.path(), into.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(into.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["000-veth.ko", "001-sunrpc.ko", "002-lock_d.ko", "003-nfs.ko", "004-nfsv4.ko"]);
    }
}
