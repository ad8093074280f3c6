#!/bin/sh
# Before anything else of docker-compose.yml starts: the cluster's authority, and for each of three machines its credentials and nats-server's configuration.
# found.sh [DIRECTORY OF THE CLUSTER] [DIRECTORY OF THE HOST]
set -eu
cluster=${1:-/cluster}
host=${2:-/host}
pouch=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
for n in 1 2 3; do
  mkdir -p "$cluster/nats-$n"
  if [ "$n" != 1 ]; then cp "$cluster/nats-1/authority.json" "$cluster/nats-1/secrets.key" "$cluster/nats-$n/"; fi
  "$pouch/node_modules/.bin/node" "$pouch/scripts/found.ts" --data "$cluster/nats-$n" --address "nats-$n" --servers nats-1,nats-2,nats-3 --nats-port 4222 --host-id "machine-$n"
done
# The host gets what a host has, and no more.
mkdir -p "$host"
cp "$cluster/nats-1/member/ca.pem" "$cluster/nats-1/member/agent.creds" "$cluster/nats-1/secrets.key" "$host/"
