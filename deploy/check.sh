#!/usr/bin/env bash
# Checks the files that Sluice is run with: units of systemd, HAProxy, Prometheus and its alerts, dashboards, containers,
# Kubernetes. What can be asked whether it would take a file is asked; of the rest the shape is checked.
#
# Use: check.sh        Environment: SLUICE_CACHE, as for build/prepare.sh.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
packages=(haproxy prometheus python3 python3-yaml)
# Whole systems have it; containers seldom do.
command -v systemd-analyze >/dev/null || packages+=(systemd)
deploy/build/prepare.sh "${packages[@]}"
# That of the distribution, which has its modules.
python=/usr/bin/python3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=()

# Runs a check; what it says is shown when it fails.
check() {
    local name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        echo "  $name"
    else
        echo "  $name: FAILED"
        cat "$work/said"
        failed+=("$name")
    fi
}

# The executable is not installed here, so that `true` stands for it. What systemd warns of is wrong too.
systemd_units() {
    local unit
    mkdir -p "$work/units"
    for unit in deploy/systemd/*.service; do
        sed 's|/usr/bin/sluice|/bin/true|' "$unit" >"$work/units/$(basename "$unit")"
    done
    SYSTEMD_LOG_LEVEL=warning systemd-analyze --man=no verify "$work"/units/*.service 2>&1 | tee "$work/warnings"
    [ "${PIPESTATUS[0]}" = 0 ] && ! grep "$work/units" "$work/warnings"
}

# In a root of its own: users and folders are made there as they would be on a machine.
systemd_users() {
    local seen=$work/root
    mkdir -p "$seen/etc"
    systemd-sysusers --root="$seen" "$PWD/deploy/systemd/sluice.sysusers" && grep -q '^sluice:' "$seen/etc/passwd" &&
        [ -z "$(grep -vE '^(#|$|d /[a-z/]+ 0[0-7]{3} [a-z]+ [a-z]+ -$)' deploy/systemd/sluice.tmpfiles)" ]
}

# What it warns of is an error.
haproxy_file() { haproxy -c -dW -f deploy/haproxy/haproxy.cfg; }

# The token that Prometheus shows is a file that must be there.
prometheus_files() {
    cp -r deploy/prometheus "$work/prometheus"
    mkdir -p "$work/prometheus/control"
    touch "$work/prometheus/control/bootstrap-token"
    sed -i "s|/etc/prometheus/|$work/prometheus/|" "$work/prometheus/prometheus.yml"
    promtool check config "$work/prometheus/prometheus.yml" && promtool test rules "$work/prometheus/alerts_test.yml"
}

documents() {
    "$python" -m doctest deploy/check/documents.py && "$python" deploy/check/documents.py "$root" "$work/expressions.yml" &&
        promtool check rules "$work/expressions.yml"
}

scripts() {
    local script
    for script in deploy/docker/join.sh deploy/k8s/config/join.sh; do sh -n "$script" || return; done
}

# Also resolves what the manifests name; only where it is installed.
kustomize_build() { kubectl kustomize deploy/k8s; }

check "units of systemd" systemd_units
check "users and folders" systemd_users
check "HAProxy" haproxy_file
check "Prometheus, alerts" prometheus_files
check "dashboards, containers, Kubernetes" documents
check "scripts of containers" scripts
if kubectl version --client >/dev/null 2>&1; then check "kustomize" kustomize_build; fi
[ ${#failed[@]} -eq 0 ]
