#!/usr/bin/env bash
# Runs the commands of the README's tour as they stand there, in order, in one shell, against a broker of its own; only
# the ports are replaced by free ones, and `target/release` by the folder of the executable that the tests built.
# After each `text` block, every line of it must be part of a line that the commands before it printed.
#
# Use: quickstart.sh        (after `cargo test --workspace --no-run`, which builds the executable)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
built=$(cd "$root" && cargo metadata --format-version 1 --no-deps --locked |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/debug
work=$(mktemp -d)
broker=
finish() {
    # shellcheck disable=SC2046 # a word for each process
    kill $broker $(jobs -p) 2>/dev/null || true
    wait
    # No job of this shell, so that the tour's own jobs count from one.
    while [ -n "$broker" ] && kill -0 "$broker" 2>/dev/null; do sleep 0.1; done
    rm -rf "$work"
}
trap finish EXIT

# Free at this moment, and far from those that the kernel gives to clients.
free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); do
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}
mqtt=$(free_port) ws=$(free_port) admin=$(free_port) tls=$(free_port) second_admin=$(free_port)

# The blocks become files: 01.sh, 01.text (which may be missing), 02.sh, …
sed -n '/quickstart.sh runs what stands here/,/The end of the tour/p' "$root/README.md" |
    sed -e "s|\$PWD/target/release|$built|" \
        -e "s/\b8883\b/$tls/g; s/\b7090\b/$admin/g; s/\b7091\b/$second_admin/g" |
    awk -v dir="$work" '
        /^```sh$/ { file = sprintf("%s/%02d.sh", dir, ++count); next }
        /^```text$/ { file = sprintf("%s/%02d.text", dir, count); next }
        /^```/ { file = ""; next }
        file { print > file }'
[ "$(find "$work" -name '*.sh' | wc -l)" -ge 8 ] || { echo "the tour is not where it should be" >&2; exit 1; }

# The clients of mosquitto read their default options here.
export XDG_CONFIG_HOME=$work/config TMPDIR=$work
mkdir -p "$work/config"
printf -- '-p %s\n' "$mqtt" | tee "$work/config/mosquitto_pub" > "$work/config/mosquitto_sub"

"$built/sluice" dev --mqtt "127.0.0.1:$mqtt" --ws "127.0.0.1:$ws" --admin "127.0.0.1:$admin" > "$work/broker" 2>&1 &
broker=$!
disown
for _ in $(seq 100); do grep -q '^ready in' "$work/broker" && break; sleep 0.1; done

# Every line of a file is part of what was printed, within five seconds.
printed() {
    local line
    for _ in $(seq 50); do
        while IFS= read -r line; do grep -qF -- "$line" "$2" || { sleep 0.1; continue 2; }; done < "$1"
        return 0
    done
    echo "missing: $line" >&2
    return 1
}

for block in "$work"/*.sh; do
    output=${block%.sh}.output
    # Some are meant to fail: what they say decides.
    set +e
    eval "$(cat "$block")" > "$output" 2>&1
    set -e
    if [ -f "${block%.sh}.text" ]; then
        printed "${block%.sh}.text" "$output" || { cat "$block" "$output" >&2; exit 1; }
    fi
done
echo "the tour of the README works: $(find "$work" -name '*.sh' | wc -l) steps"
