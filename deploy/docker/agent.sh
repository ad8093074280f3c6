#!/bin/sh
# The agent's container: containerd beside the agent. Ends when either ends, so that Docker's restart policy starts both again.
set -eu
mkdir -p /run/pouch/containerd /var/lib/pouch/containerd
containerd --config /opt/pouch/deploy/containerd.toml --log-level warn &
containerd=$!
trap 'kill "$containerd" "${agent:-}" 2>/dev/null || true' TERM INT
/opt/pouch/node_modules/.bin/node /opt/pouch/services/agent/src/main.ts &
agent=$!
# POSIX sh cannot wait for whichever ends first: look every second.
while kill -0 "$containerd" 2>/dev/null && kill -0 "$agent" 2>/dev/null; do sleep 1 & wait $! || true; done
kill "$containerd" "$agent" 2>/dev/null || true
wait "$agent" || exit $?
