#!/usr/bin/env bash
# Installs the clients of other makers that the end-to-end tests use, a browser, and etcd. Quick when they are there; run it as often as you
# like.
#
# Use: install.sh
# Environment: SLUICE_CACHE (default ~/.cache/sluice) is where the Python and JavaScript clients are kept. The tests find
# them through the link target/e2e-clients.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
clients=${SLUICE_CACHE:-$HOME/.cache/sluice}/e2e-clients
paho=2.1.0
mqttjs=5.16.0
puppeteer=24.43.1

packages=(chromium curl etcd-client etcd-server haproxy mosquitto mosquitto-clients)
command -v python3 >/dev/null && python3 -m venv --help >/dev/null 2>&1 || packages+=(python3-venv)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
"$root/deploy/build/prepare.sh" "${packages[@]}"

mkdir -p "$clients" "$root/target"
exec 9>"$clients/lock"
flock 9

if [ "$(cat "$clients/python/version" 2>/dev/null)" != "$paho" ]; then
    rm -rf "$clients/python"
    python3 -m venv "$clients/python"
    "$clients/python/bin/pip" install --quiet "paho-mqtt==$paho"
    echo "$paho" >"$clients/python/version"
fi
if [ "$(cat "$clients/javascript/version" 2>/dev/null)" != "$mqttjs $puppeteer" ]; then
    rm -rf "$clients/javascript"
    mkdir -p "$clients/javascript"
    (cd "$clients/javascript" && npm init --yes >/dev/null &&
        npm install --silent --no-audit --no-fund "mqtt@$mqttjs" "puppeteer-core@$puppeteer")
    echo "$mqttjs $puppeteer" >"$clients/javascript/version"
fi
ln -sfn "$clients" "$root/target/e2e-clients"
