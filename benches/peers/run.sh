#!/bin/bash
# Measures the decoders beside the Python peers, in one run on one machine, and prints by how much they differ: benches/peers/run.sh
set -eu -o pipefail
cd "$(dirname "$0")/../.."
env=${PEERS_ENV:-target/peers}
[ -x "$env/bin/python" ] || python3 -m venv "$env"
"$env/bin/python" -c 'import bthome_ble, xiaomi_ble, switchbot' 2>/dev/null ||
    "$env/bin/pip" install -q bthome-ble xiaomi-ble PySwitchbot
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
echo "peers:"
"$env/bin/python" benches/peers/peers.py | tee "$out/peers"
echo "portcullis:"
cargo bench -q --bench decode | tee "$out/ours" || failed=$?
echo "times as fast as the peer:"
# A line is a name, a number and "ns"; the names are the same on both sides.
awk '$3 == "ns" { if (NR == FNR) peer[$1] = $2; else if ($1 in peer) printf "%-44s %9.0fx\n", $1, peer[$1] / $2 }' "$out/peers" "$out/ours"
exit "${failed:-0}"
