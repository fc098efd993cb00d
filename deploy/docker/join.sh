#!/bin/sh
# Fetches a join token for each node from control, once; a folder that has one is left alone. A token lets one machine in,
# once: what is left of it afterwards is worth nothing.
#
# Use: join.sh API TOKEN_FILE FOLDER…     Writes: FOLDER/token, for the user 65532.
set -eu

api=$1 token_file=$2
shift 2
for folder in "$@"; do
    [ -s "$folder/token" ] && continue
    answer=$(curl -fsS --retry 30 --retry-connrefused --retry-delay 1 -X POST "$api/api/v1/node-tokens" \
        -H "Authorization: Bearer $(cat "$token_file")")
    token=$(printf '%s' "$answer" | sed -n 's/.*"token" *: *"\([^"]*\)".*/\1/p')
    [ -n "$token" ] || { echo "control answers without a token: $answer" >&2; exit 1; }
    (umask 077; printf '%s\n' "$token" > "$folder/token.new")
    chown 65532:65532 "$folder" "$folder/token.new"
    mv "$folder/token.new" "$folder/token"
done
