# The door for people and CI. `just` lists the recipes; `just test` installs what it needs and passes everything.

export CONVIS_CACHE := env("CONVIS_CACHE", cache_directory() / "convis")

[private]
default:
    @just --list --unsorted

# Build the release binary: target/release/convis
build:
    cargo build --release

# Everything CI checks, with what it needs installed first; prints `N passed, N failed` at the end
test:
    scripts/test

# The tests that need neither root nor anything beyond cargo
test-unit:
    cargo test --workspace --exclude convis-integration

# The end-to-end tests on this kernel
test-integration *ARGS:
    cargo build --workspace
    -scripts/vm get
    scripts/as-root cargo test -p convis-integration {{ ARGS }}

# The scenarios on other kernels: all of them, or one: `just vm arm64-6.12`; or a command there: `just vm 6.12 sh`
[positional-arguments]
vm *ARGS:
    scripts/install vm
    case "${1:-get}" in arm64-* | get) scripts/install vm-arm64 ;; esac
    scripts/vm "$@"

# Look for bytes that break a parser: `just fuzz sink_spec`, or for a minute `just fuzz sink_spec -max_total_time=60`; `just fuzz` lists them
[positional-arguments]
fuzz *ARGS:
    scripts/install cargo-fuzz
    scripts/fuzz "$@"

# clippy, formatting and docs without a warning
lint:
    cargo fmt --all --check
    cargo fmt --manifest-path ebpf/kernel/Cargo.toml --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

# Format everything
fmt:
    cargo fmt --all
    cargo fmt --manifest-path ebpf/kernel/Cargo.toml
    cargo fmt --manifest-path fuzz/Cargo.toml

# Licences and sources of dependencies
deny:
    scripts/install cargo-deny
    cargo deny --log-level error check bans licenses sources

# Rebuild the eBPF object after its sources changed
ebpf:
    scripts/install bpf-linker
    PATH="$CONVIS_CACHE/bin:$PATH" CARGO_TARGET_DIR="$CONVIS_CACHE/ebpf-target" ebpf/kernel/build.sh ebpf/prebuilt/convis.bpf.o

# Rebuild the eBPF object in a clean place and compare it with the committed one
ebpf-verify:
    scripts/install bpf-linker
    scripts/ebpf-verify

# Measure everything into docs/performance.md (a quarter of an hour, wants a quiet machine), or one section: `just bench overhead`
[positional-arguments]
bench *ARGS:
    -scripts/install bench
    scripts/bench "$@"

# Instructions for each event against the committed baseline, by valgrind; `just bench-instructions --write` keeps new ones
bench-instructions *ARGS:
    scripts/callgrind {{ ARGS }}
