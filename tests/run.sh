#!/usr/bin/env bash
# Installs what the tests need and runs every gate that a change has to pass, in this order, as continuous integration
# does. A gate that fails does not keep the later ones from running; the summary at the end says which did.
#
# Use: run.sh            all gates: a quarter of an hour on two cores from a fresh clone, and five minutes more
#                        where RocksDB was never compiled; two or three minutes afterwards
#      run.sh quick      those that need no running broker
#      run.sh GATE…      only these, such as: run.sh fmt clippy
# Environment: SLUICE_CACHE (default ~/.cache/sluice) is where RocksDB and tools are kept between runs and checkouts.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
cache=${SLUICE_CACHE:-$HOME/.cache/sluice}

quick=(fmt tidy clippy deny build tests docs deploy sim fuzz)
all=("${quick[@]}" push conformance e2e quickstart)

# All tests are built with the features that the whole workspace asks for, so that no crate is built twice. Cargo can
# select a package only by building it with features of its own; so it is told to run only the tests of packages whose
# names match a pattern.
tests_of() {
    local only='case $CARGO_PKG_NAME in $0) exec "$@";; esac'
    cargo --config "target.'cfg(all())'.runner=['bash', '-O', 'extglob', '-c', '''$only''', '$1']" \
        test --quiet --locked --workspace --tests --no-fail-fast
}

gate_fmt() { cargo fmt --all --check; }

# On its own, because it is the one that should be told in seconds.
gate_tidy() { cargo test --quiet --locked -p sluice-tests-tidy; }

gate_clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }

gate_deny() {
    local version=0.20.2 tools=$cache/tools
    if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
        # Unoptimised: the build takes a minute instead of many, and a check a second.
        cargo install --quiet --locked --debug --root "$tools" --target-dir "$tools/build" "cargo-deny@$version" || return
        rm -rf "$tools/build"
    fi
    local deny=("$tools/bin/cargo-deny" --log-level error)
    "${deny[@]}" check bans licenses sources || return
    if timeout 60 "$tools/bin/cargo-deny" --log-level off fetch db >/dev/null 2>&1; then
        "${deny[@]}" check --disable-fetch advisories
    else
        echo "advisories: not checked, their database cannot be reached from here"
    fi
}

gate_build() { cargo test --locked --workspace --tests --no-run "$@"; }

gate_tests() { tests_of '!(sluice-tests-*)' && cargo test --quiet --locked --workspace --doc; }

gate_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps; }

gate_deploy() { SLUICE_CACHE=$cache deploy/check.sh; }

gate_sim() { tests_of sluice-tests-sim; }

gate_fuzz() { tests_of sluice-tests-fuzz; }

gate_push() { tests_of sluice-tests-push; }

gate_conformance() { tests_of sluice-tests-conformance; }

gate_e2e() { SLUICE_CACHE=$cache tests/e2e/install.sh && tests_of sluice-tests-e2e; }

gate_quickstart() { gate_build --quiet && tests/quickstart.sh; }

run_gates() {
    local gate started seconds status=0 summary=""
    for gate in "$@"; do
        printf '\n== %s\n' "$gate"
        started=$SECONDS
        if "gate_$gate"; then
            seconds=$((SECONDS - started))
            printf '== %s: passed in %s s\n' "$gate" "$seconds"
            summary+=$(printf '\n  %-12s %5s s  passed' "$gate" "$seconds")
        else
            seconds=$((SECONDS - started))
            printf '== %s: FAILED after %s s\n' "$gate" "$seconds"
            summary+=$(printf '\n  %-12s %5s s  FAILED' "$gate" "$seconds")
            status=1
        fi
    done
    printf '\n== summary%s\n  %-12s %5s s\n' "$summary" "in all" "$SECONDS"
    return $status
}

trap 'exit 130' INT TERM
gates=("${all[@]}")
if [ "${1:-}" = quick ]; then
    gates=("${quick[@]}")
elif [ $# -gt 0 ]; then
    gates=("$@")
fi
for gate in "${gates[@]}"; do
    declare -F "gate_$gate" >/dev/null || { echo "no gate '$gate'; there are: ${all[*]}" >&2; exit 64; }
done

# What a full disk breaks reports itself in many ways, none of them plain.
free=$(df --output=avail --block-size=1G . | tail -n 1)
[ "$free" -ge 12 ] || [ -d target/debug ] || { echo "a first run needs 12 GB of disk in $root, $free are free" >&2; exit 1; }

printf '== prepare\n'
deploy/build/prepare.sh curl etcd-client etcd-server mosquitto-clients openssl || exit 1
printf '== prepare: done in %s s\n' "$SECONDS"
# To a node, every variable of this prefix is a key of its configuration.
unset SLUICE_CACHE
run_gates "${gates[@]}"
