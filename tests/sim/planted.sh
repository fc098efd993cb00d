#!/usr/bin/env bash
# Plants bugs in a copy of the broker and of control, one at a time, and expects the simulation to find each: a check that
# cannot fail is a defect. Not part of the usual run: the copy costs a build, and a bug that is rarely felt many seeds.
#
# Use: planted.sh [BUG…]        all of planted/*.patch without arguments, such as again-is-ignored
# Prints which invariant was found broken first, and by which seed: the table in docs/testing.md. SEEDS=1..501 takes those
# of continuous integration only.
#
# A patch plants its bug behind `sluice_cluster::planted("name of the patch")`, so that one build has them all.
# The copy is of the last commit. It and its build are kept in target/planted-sim, so that a second run is quick.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
home=$root/target/planted-sim
tree=$home/tree
seeds=${SEEDS:-1..3001}

bugs=("$@")
[ $# -gt 0 ] || mapfile -t bugs < <(cd "$here/planted" && printf '%s\n' *.patch | sed 's/\.patch$//')

rm -rf "$tree"
mkdir -p "$tree"
git -C "$root" archive HEAD | tar -xm -C "$tree"
for patch in "$here"/planted/*.patch; do
    patch --quiet --strip 1 --directory "$tree" <"$patch"
done
cat >>"$tree/shared/cluster/src/lib.rs" <<'SWITCH'

/// Whether a bug is planted.
pub fn planted(bug: &str) -> bool {
    static PLANTED: std::sync::LazyLock<Option<std::ffi::OsString>> =
        std::sync::LazyLock::new(|| std::env::var_os("SLUICE_PLANTED"));
    PLANTED.as_deref().is_some_and(|planted| planted == bug)
}
SWITCH
(cd "$tree" && CARGO_TARGET_DIR=$home/build cargo build --quiet --locked -p sluice-tests-sim)

simulate() { SLUICE_PLANTED=${1:-} "$home/build/debug/sluice-tests-sim" --seeds "$seeds" --lines 0; }

if ! found=$(simulate); then
    printf '%s\n' "the simulation finds something in the broker as it is:" "$found"
    exit 1
fi

status=0
printf '| %s | %s | %s |\n' "Bug in \`tests/sim/planted\`" "Found as" "By seed" "---" "---" "---"
for bug in "${bugs[@]}"; do
    if found=$(simulate "$bug"); then
        printf '| `%s` | NOT CAUGHT | |\n' "$bug"
        status=1
    else
        # seed 17: I15: what it was
        IFS=: read -r seed invariant what <<<"$(grep --max-count 1 '^seed ' <<<"$found")"
        printf '| `%s` | %s:%s | %s |\n' "$bug" "${invariant# }" "${what:0:100}" "${seed#seed }"
    fi
done
exit $status
