#!/bin/sh
# Makes the secrets that compose.yaml hands to its services, each in a file; one that exists is left alone.
set -eu
cd "$(dirname "$0")"
# The folder keeps strangers out; the files must be readable for the users inside the containers.
mkdir -p secrets
chmod 700 secrets
random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
keep() {
    [ -s "secrets/$1" ] || printf '%s' "$2" > "secrets/$1"
    chmod 644 "secrets/$1"
}
for name in redis_password postgres_password grafana_password gamut_notify_header_secret; do
    keep "$name" "$(random)"
done
keep gamut_broker_url "redis://:$(cat secrets/redis_password)@redis:6379/0"
