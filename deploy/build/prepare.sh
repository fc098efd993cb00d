#!/usr/bin/env bash
# Makes this checkout ready for cargo: installs missing Debian packages, compiles RocksDB once per machine, and tells
# cargo where it is. Costs a fraction of a second when everything is there; run it as often as you like.
#
# Use: prepare.sh [PACKAGE…]        (further Debian packages, such as those that tests need)
# Writes: .cargo/config.toml (untracked). Environment: as for rocksdb.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
config=$root/.cargo/config.toml
marker='# Written by deploy/build/prepare.sh.'

say() { echo "prepare: $*" >&2; }
die() { say "$*"; exit 1; }

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# bindgen loads libclang at run time and needs the builtin headers of the very same version.
has_libclang() {
    local lib version
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    while read -r lib; do
        version=${lib#libclang1-}; version=${version%%:*}
        installed "libclang-common-$version-dev" && return 0
    done < <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 'libclang1-*' 2>/dev/null | sed -n 's/^installed //p')
    return 1
}

# The version that this release of the distribution calls its own.
libclang_packages() {
    local version
    version=$(apt-cache depends libclang-dev 2>/dev/null | sed -n 's/.*Depends: libclang-\([0-9]*\)-dev$/\1/p' | head -n 1)
    if [ -z "$version" ]; then
        version=$(apt-cache pkgnames libclang-common- | sed -n 's/^libclang-common-\([0-9]*\)-dev$/\1/p' | sort -n | tail -n 1)
    fi
    [ -n "$version" ] || die "apt knows no libclang: install one, with its builtin headers, and set LIBCLANG_PATH"
    echo "libclang1-$version" "libclang-common-$version-dev"
}

install_packages() {
    local -a missing=() as_root=()
    local package
    command -v g++ >/dev/null || [ -n "${CXX:-}" ] || missing+=(g++)
    command -v make >/dev/null || missing+=(make)
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    command -v protoc >/dev/null || missing+=(protobuf-compiler)
    for package in libprotobuf-dev "$@"; do installed "$package" || missing+=("$package"); done
    has_libclang || missing+=(libclang)
    [ ${#missing[@]} -gt 0 ] || return 0

    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "missing packages: ${missing[*]}; run this as root, or install them"
        as_root=(sudo)
    fi
    say "installing: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    local -a names=()
    for package in "${missing[@]}"; do
        if [ "$package" = libclang ]; then
            read -ra clang < <(libclang_packages)
            names+=("${clang[@]}")
        else
            names+=("$package")
        fi
    done
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${names[@]}" >&2
}

# The folder of a crate's unpacked sources: in cargo's registry, or wherever `cargo vendor` put it.
crate_dir() {
    local manifest
    manifest=$(grep -o "\"manifest_path\":\"[^\"]*/$1-[0-9][^\"/]*/Cargo.toml\"" <<<"$metadata" | head -n 1)
    [ -n "$manifest" ] || manifest=$(grep -o "\"manifest_path\":\"[^\"]*/$1/Cargo.toml\"" <<<"$metadata" | head -n 1)
    [ -n "$manifest" ] || die "cargo metadata names no $1"
    manifest=${manifest#*:\"}
    dirname "${manifest%\"}"
}

command -v cargo >/dev/null || die "no cargo: install Rust from https://rustup.rs first"
if command -v apt-get >/dev/null; then
    install_packages "$@"
else
    say "not a Debian or Ubuntu: needs a C++20 compiler, make, pkg-config, protoc with its well-known types, libclang"
fi

cd "$root"
cargo fetch --quiet
metadata=$(cargo metadata --format-version 1)
lib_dir=$("$here/rocksdb.sh" "$(crate_dir librocksdb-sys)" "$(crate_dir lz4-sys)/liblz4/lib")

wanted="$marker
[env]
ROCKSDB_LIB_DIR = \"$lib_dir\"
ROCKSDB_STATIC = \"1\""
if [ -f "$config" ]; then
    [ "$(cat "$config")" = "$wanted" ] && exit 0
    [ "$(head -n 1 "$config")" = "$marker" ] || die "$config is not mine; add to it: ${wanted#*$'\n'}"
fi
mkdir -p "$(dirname "$config")"
printf '%s\n' "$wanted" > "$config.new"
mv "$config.new" "$config"
say "cargo links the RocksDB in $lib_dir"
