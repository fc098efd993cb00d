#!/usr/bin/env bash
# Compiles RocksDB once per machine into a static archive and prints the folder that holds it.
#
# Compiling the bundled sources file by file, as the crate does, costs about 1,600 CPU seconds for every profile and
# target directory. Here the same sources are compiled as a few large units (RocksDB's own `unity` layout, in
# chunks), into a cache that every checkout and profile of this user shares.
#
# Use: rocksdb.sh CRATE_DIR LZ4_INCLUDE_DIR     (CRATE_DIR: the unpacked librocksdb-sys crate)
# Environment: SLUICE_CACHE (default ~/.cache/sluice), CXX (default g++), JOBS (default: all processors).
set -euo pipefail

crate=${1:?the librocksdb-sys crate folder}
lz4=${2:?the folder of lz4.h}
cxx=${CXX:-g++}
jobs=${JOBS:-$(nproc)}
units=16
flags=(-O2 -g0 -std=c++20 -fPIC -w -DNDEBUG -DLZ4=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION
       -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT
       -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT
       -include cstdint)
[ "$(uname -m)" = x86_64 ] && flags+=(-msse4.2 -mpclmul)

key=$(printf '%s\n' "$(basename "$crate")" "$("$cxx" --version | head -n 1)" "$units" "${flags[*]}" | sha256sum | cut -c1-16)
out=${SLUICE_CACHE:-$HOME/.cache/sluice}/rocksdb-$key
if [ -f "$out/librocksdb.a" ]; then echo "$out"; exit 0; fi

mkdir -p "$out"
exec 9>"$out/lock"
flock 9
if [ -f "$out/librocksdb.a" ]; then echo "$out"; exit 0; fi
work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "compiling RocksDB once for this machine, into $out" >&2

# Neighbours stay together (they share headers); every unit gets about the same number of files.
mapfile -t sources < <(grep -v 'util/build_version.cc' "$crate/rocksdb_lib_sources.txt" | sed '/^[[:space:]]*$/d')
per_unit=$(( (${#sources[@]} + units - 1) / units ))
for i in "${!sources[@]}"; do
    printf '#include "%s"\n' "${sources[$i]}" >> "$work/unit$((i / per_unit)).cc"
done
cp "$crate/build_version.cc" "$work/unit_version.cc"

compile() { "$cxx" "${flags[@]}" -I"$crate/rocksdb/include" -I"$crate/rocksdb" -I"$crate" -I"$lz4" -c "$1" -o "${1%.cc}.o"; }
export -f compile
{ declare -p flags | sed 's/^declare -a/flags=/;s/^flags= flags=/flags=/'; } > "$work/flags.sh"
printf '%s\0' "$work"/*.cc | cxx=$cxx crate=$crate lz4=$lz4 work=$work xargs -0 -n 1 -P "$jobs" bash -c '. "$work/flags.sh"; compile "$0"' >&2
ar rcs "$work/librocksdb.a" "$work"/*.o
mv "$work/librocksdb.a" "$out/librocksdb.a"
echo "$out"
