#!/usr/bin/env bash
# Runs fuzz targets under libFuzzer, some at a time, and says what each came to. A finding is kept as a file, which the
# target reads when it is named; copied to tests/fuzz/corpus/TARGET it is replayed by every run of the tests.
#
# Use: run.sh [-s SECONDS] [-j JOBS] [TARGET…]      (600 seconds, 2 at a time, all targets; needs a nightly compiler)
# Environment: SLUICE_CACHE (default ~/.cache/sluice) is where cargo-fuzz is kept, and the grown corpora.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SLUICE_CACHE:-$HOME/.cache/sluice}
seconds=600 jobs=2
while getopts s:j: option; do
    case $option in
        s) seconds=$OPTARG ;;
        j) jobs=$OPTARG ;;
        *) exit 64 ;;
    esac
done
shift $((OPTIND - 1))

"$here/../../deploy/build/prepare.sh"
unset SLUICE_CACHE
version=0.13.2 tools=$cache/tools
if [ "$("$tools/bin/cargo-fuzz" --version 2>/dev/null)" != "cargo-fuzz $version" ]; then
    cargo install --quiet --locked --debug --root "$tools" --target-dir "$tools/build" "cargo-fuzz@$version"
    rm -rf "$tools/build"
fi
export PATH=$tools/bin:$PATH

cd "$here/libfuzzer"
mapfile -t targets < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else cargo +nightly fuzz list --fuzz-dir .; fi)
cargo +nightly fuzz build --fuzz-dir . --release --sanitizer none >&2

results=$(mktemp -d)
trap 'rm -rf "$results"; kill 0' EXIT INT TERM
fuzz() {
    local target=$1 grown=$cache/fuzz/$1 log=$results/$1 status=0
    mkdir -p "$grown"
    RUST_BACKTRACE=0 cargo +nightly fuzz run --fuzz-dir . --release --sanitizer none "$target" "$grown" "$here/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=4096 -print_final_stats=1 >"$log" 2>&1 || status=$?
    if [ $status -eq 0 ]; then
        printf '%-16s %12s runs in %s s, nothing found\n' "$target" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$seconds"
    else
        printf '%-16s FOUND SOMETHING\n' "$target"
        grep -E -A 3 'panicked at|SUMMARY|^ERROR' "$log" || tail -n 40 "$log"
        grep -o 'artifacts/[^ ]*' "$log" | sort -u | sed "s#^#$here/libfuzzer/#"
    fi
    return $status
}

status=0
for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || status=1; done
    fuzz "$target" &
done
while [ "$(jobs -rp | wc -l)" -gt 0 ]; do wait -n || status=1; done
trap 'rm -rf "$results"' EXIT
exit $status
