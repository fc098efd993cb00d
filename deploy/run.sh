#!/usr/bin/env bash
# From a fresh checkout to a running broker: installs what is missing, builds Sluice, and starts `sluice dev` with MQTT
# on port 1883 and WebSocket on port 8083 of this machine; `sluicectl` is built beside it. Run it again to start again;
# nothing is built twice.
#
# Use: run.sh [ARGUMENT…]        (passed on: run.sh --data DIR keeps what is stored; run.sh --help shows all)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What the broker's own greeting and the README tell to try next.
"$root/deploy/build/prepare.sh" curl mosquitto-clients openssl

# For the build script alone: to the node, every variable of this prefix is a key of its configuration.
unset SLUICE_CACHE

# Not built inside the checkout, so that relative paths in arguments mean what they say; cargo still reads its
# configuration from the folder it is called in.
dir=$PWD
cd "$root"
cargo build --release --locked -p sluice -p sluice-controlplane-ctl
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
cd "$dir"
exec "$target/release/sluice" dev "$@"
