//! The file system and the image of every container: a static busybox, and the libraries of the traffic tool, which is
//! mounted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::process::built;

const BUSYBOX: &str = "/bin/busybox";

/// Whether there is a busybox that needs no library.
pub(super) fn available() -> Result<(), String> {
    let linked = Command::new("ldd").arg(BUSYBOX).output().is_ok_and(|output| output.status.success());
    if Path::new(BUSYBOX).exists() && !linked { Ok(()) } else { Err("needs busybox-static".to_owned()) }
}

/// Makes a tar archive of the file system in `folder`.
pub(super) fn archive(folder: &Path) -> PathBuf {
    let root = folder.join("rootfs");
    fs::create_dir_all(root.join("bin")).expect("a folder");
    fs::copy(BUSYBOX, root.join("bin/busybox")).expect("busybox can be copied");
    for name in ["sh", "sleep"] {
        symlink("busybox", root.join("bin").join(name)).expect("a link");
    }
    for library in libraries(&built("traffic")) {
        let copy = root.join(library.strip_prefix("/").expect("an absolute path"));
        fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
        fs::copy(&library, copy).expect("the library can be copied");
    }
    let archive = folder.join("layer.tar");
    tar(&root, &archive, &["."]);
    archive
}

/// Makes an image with this name that `ctr image import` takes; it sleeps. The file, and the image's id.
pub(super) fn image(folder: &Path, layer: &Path, name: &str) -> (PathBuf, String) {
    let place = tempfile::tempdir_in(folder).expect("a folder");
    let bytes = fs::read(layer).expect("the layer");
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Entrypoint": ["/bin/busybox", "sleep", "100000"], "Labels": {"name": name}},
        "rootfs": {"type": "layers", "diff_ids": [digest(&bytes)]},
    });
    let id = digest(config.to_string().as_bytes());
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    for (file, value) in [("config.json", config), ("manifest.json", manifest)] {
        fs::write(place.path().join(file), value.to_string()).expect("a file");
    }
    fs::copy(layer, place.path().join("layer.tar")).expect("the layer can be copied");
    let image = place.path().with_extension("image.tar");
    tar(place.path(), &image, &["manifest.json", "config.json", "layer.tar"]);
    (image, id)
}

/// What a program is linked with, where it looks for it; nothing if it is static.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("ldd runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.lines().flat_map(str::split_whitespace);
    words.filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

fn tar(folder: &Path, archive: &Path, what: &[&str]) {
    let done = Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(archive).args(what).status();
    assert!(done.is_ok_and(|status| status.success()), "tar fails");
}
