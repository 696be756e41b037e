//! The kernel inside its file, as QEMU starts it directly.
//!
//! On `x86_64` that is the ELF kernel inside a bzImage, which would first unpack itself: that takes seconds when
//! instructions are interpreted. On aarch64 the file is the kernel.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use super::tool;

const ELF: &[u8] = b"\x7fELF";
/// Compressions by the first bytes of the payload.
const UNPACKERS: [(&[u8], &[&str]); 4] = [
    (b"\x1f\x8b", &["gzip", "-dc"]),
    (b"\xfd7zXZ", &["xz", "-dc", "--single-stream"]),
    (b"\x28\xb5\x2f\xfd", &["zstd", "-dc"]),
    (b"\x02\x21\x4c\x18", &["lz4", "-dc"]),
];

/// Writes the kernel inside the file `from` to the file `into`.
pub(super) fn unpack(from: &Path, into: &Path) -> Result<(), String> {
    let image = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    if is_plain(&image) {
        return fs::write(into, image).map_err(|error| format!("{}: {error}", into.display()));
    }
    let payload = payload(&image).ok_or_else(|| format!("{} is no bzImage", from.display()))?;
    decompress(payload, into)?;
    let whole = fs::read(into).is_ok_and(|kernel| kernel.starts_with(ELF));
    if whole { Ok(()) } else { Err(format!("{} holds no ELF kernel", from.display())) }
}

/// Said by aarch64's header (Documentation/arch/arm64/booting.rst of the kernel).
fn is_plain(image: &[u8]) -> bool {
    image.get(0x38..0x3c) == Some(b"ARM\x64")
}

/// Where it lies is said by the boot protocol's header (Documentation/arch/x86/boot.rst of the kernel).
fn payload(image: &[u8]) -> Option<&[u8]> {
    const SECTOR: usize = 512;
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let begin = (sectors + 1) * SECTOR + number(image, 0x248)?;
    image.get(begin..)?.get(..number(image, 0x24c)?)
}

fn number(image: &[u8], at: usize) -> Option<usize> {
    let bytes = image.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

/// The status says nothing: behind the payload lies its length, which every tool complains about.
fn decompress(payload: &[u8], into: &Path) -> Result<(), String> {
    let (_, tool) = UNPACKERS
        .iter()
        .find(|(magic, _)| payload.starts_with(magic))
        .ok_or("the kernel's compression is not known")?;
    tool::present(tool[0])?;
    let packed = into.with_extension("packed");
    let failed = |error: std::io::Error| format!("{}: {error}", into.display());
    fs::write(&packed, payload).map_err(failed)?;
    Command::new(tool[0])
        .args(&tool[1..])
        .stdin(File::open(&packed).map_err(failed)?)
        .stdout(File::create(into).map_err(failed)?)
        .stderr(Stdio::null())
        .status()
        .map_err(failed)?;
    fs::remove_file(packed).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: aarch64's header, another one, and a file that ends before it.
    /// Guarantees: only the first is a kernel as it is.
    #[test]
    fn a_kernel_that_is_not_packed_is_known() {
        let mut image = vec![0; 0x40];
        assert!(!is_plain(&image));
        image[0x38..0x3c].copy_from_slice(b"ARM\x64");
        assert!(is_plain(&image));
        assert!(!is_plain(&image[..0x3b]));
    }

    /// Scenario: a header that points to a payload, one that points outside, and no header.
    /// Guarantees: exactly the payload, or nothing.
    #[test]
    fn the_header_says_where_the_payload_is() {
        let mut image = vec![0; 3 * 512 + 100];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&512_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&7_u32.to_le_bytes());
        image[3 * 512..3 * 512 + 7].copy_from_slice(b"payload");
        assert_eq!(payload(&image), Some(&b"payload"[..]));
        image[0x24c..0x250].copy_from_slice(&101_u32.to_le_bytes());
        assert_eq!(payload(&image), None);
        assert_eq!(payload(b"short"), None);
    }
}
