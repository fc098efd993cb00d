#!/bin/sh
# Fetches a join token for this node from control, unless it has joined before: then it starts without control.
#
# Use: join.sh API TOKEN_FILE FOLDER     Writes: FOLDER/token.
set -eu

api=$1 token_file=$2 folder=$3
for certificate in /var/lib/sluice/node/certificate.pem /var/lib/sluice/node/*/certificate.pem; do
    [ -e "$certificate" ] && exit 0
done
answer=$(curl -fsS --retry 60 --retry-connrefused --retry-delay 1 -X POST "$api/api/v1/node-tokens" \
    -H "Authorization: Bearer $(cat "$token_file")")
token=$(printf '%s' "$answer" | sed -n 's/.*"token" *: *"\([^"]*\)".*/\1/p')
[ -n "$token" ] || { echo "control answers without a token: $answer" >&2; exit 1; }
printf '%s\n' "$token" > "$folder/token"
