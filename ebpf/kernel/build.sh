#!/bin/sh
# Builds the eBPF object: kernel/build.sh OUTPUT. Needs rustc 1.95.0 with rust-src, and bpf-linker on the PATH.
# The same sources give the same bytes wherever they lie: every path that could reach the object is remapped.
set -eu
output=$(realpath -m "$1")
cd "$(dirname "$0")"
toolchain=1.95.0
sysroot=$(rustc "+$toolchain" --print sysroot)
host=$(rustc "+$toolchain" -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-$PWD/target}
sep=$(printf '\037')

# build-std is not stable; the compiler is the pinned stable one all the same.
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="$target"
export CARGO_ENCODED_RUSTFLAGS="--cfg=bpf_target_arch=\"x86_64\"${sep}-Cdebuginfo=2${sep}-Clink-arg=--btf\
${sep}--remap-path-prefix=$PWD=/convis/ebpf/kernel\
${sep}--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo\
${sep}--remap-path-prefix=$sysroot=/rust"
cargo "+$toolchain" build --quiet --locked --release -Z build-std=core --target bpfel-unknown-none

# Line numbers are for the verifier's log alone, and make the object twice as large.
mkdir -p "$(dirname "$output")"
LD_LIBRARY_PATH="$sysroot/lib" "$sysroot/lib/rustlib/$host/bin/rust-objcopy" \
    --strip-unneeded --strip-debug --remove-section=.BTF.ext --remove-section=.rel.BTF.ext \
    "$target/bpfel-unknown-none/release/convis" "$output"

# What the object was made of, for the build script of the crate.
cd ..
find kernel/Cargo.lock kernel/Cargo.toml kernel/build.sh kernel/src src/layout.rs src/wire.rs -type f -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum >"$(dirname "$output")/SOURCES.sha256"
