//! The processors that kernels are for.

/// Which processor a machine has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arch {
    /// Intel's and AMD's.
    X86_64,
    /// ARM's with 64 bits.
    Aarch64,
}

impl Arch {
    /// What Debian calls it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// What Rust calls it, and Linux on it.
    pub fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }
}
