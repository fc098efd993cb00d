#!/usr/bin/env bash
# Plants bugs in copies of the broker and expects the simulation to find each within 200 seeds: a check that cannot fail is
# a defect. Not part of the usual run: each bug costs a build.
#
# Use: planted.sh [PATCH…]        all of planted/*.patch without arguments
# The copy is of the last commit. It and its builds are kept in target/planted-sim, so that a second run is quick.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
home=$root/target/planted-sim
tree=$home/tree
seeds=1..201

build() { (cd "$tree" && CARGO_TARGET_DIR=$home/build cargo build --quiet --locked -p sluice-tests-sim); }

patches=("$@")
[ $# -gt 0 ] || patches=("$here"/planted/*.patch)
for at in "${!patches[@]}"; do patches[at]=$(realpath "${patches[at]}"); done

rm -rf "$tree"
mkdir -p "$tree"
git -C "$root" archive HEAD | tar -xm -C "$tree"
build
if ! found=$("$home/build/debug/sluice-tests-sim" --seeds "$seeds" --lines 0); then
    printf '%s\n' "the simulation finds something in the broker as it is:" "$found"
    exit 1
fi

status=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    patch --quiet --strip 1 --directory "$tree" <"$patch"
    build
    if found=$("$home/build/debug/sluice-tests-sim" --seeds "$seeds" --lines 0); then
        printf '%s: NOT CAUGHT by seeds %s\n' "$name" "$seeds"
        status=1
    else
        printf '%s: caught\n%s\n' "$name" "$(head -1 <<<"$found" | cut -c 1-160)"
    fi
    patch --quiet --reverse --strip 1 --directory "$tree" <"$patch"
done
exit $status
