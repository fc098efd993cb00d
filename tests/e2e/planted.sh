#!/usr/bin/env bash
# Plants bugs in copies of the broker and expects the crash checker to find each: a check that cannot fail is a defect.
# Not part of the usual run: each bug costs a build of the broker.
#
# Use: planted.sh [PATCH…]        all of planted/*.patch without arguments
# The copy is of the last commit. It and its builds are kept in target/planted, so that a second run is quick.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
home=$root/target/planted
tree=$home/tree
kills=40

say() { printf '%s\n' "$*"; }

copy_of_the_last_commit() {
    rm -rf "$tree"
    mkdir -p "$tree"
    git -C "$root" archive HEAD | tar -xm -C "$tree"
    "$tree/deploy/build/prepare.sh"
}

build() {
    (cd "$tree" && CARGO_TARGET_DIR=$home/build cargo build --quiet --locked -p sluice -p sluice-tests-e2e)
}

# Runs the checker with these seeds until it finds something; says what. Fails when it finds nothing.
find_violation() {
    local seed output
    for seed in "$@"; do
        if ! output=$(SLUICE_BIN=$home/build/debug/sluice "$home/build/debug/crash" --kills "$kills" --seed "$seed"); then
            sed -n '2,4p' <<<"$output" | cut -c 1-160
            return 0
        fi
    done
    return 1
}

patches=("$@")
[ $# -gt 0 ] || patches=("$here"/planted/*.patch)
for at in "${!patches[@]}"; do patches[at]=$(realpath "${patches[at]}"); done

copy_of_the_last_commit
build
if found=$(find_violation 1); then
    say "the checker finds something in the broker as it is:" "$found"
    exit 1
fi

status=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    patch --quiet --strip 1 --directory "$tree" <"$patch"
    build
    if found=$(find_violation 1 2 3 4 5 6); then
        say "$name: caught"
        say "$found"
    else
        say "$name: NOT CAUGHT in six runs of $kills kills"
        status=1
    fi
    patch --quiet --reverse --strip 1 --directory "$tree" <"$patch"
done
exit $status
