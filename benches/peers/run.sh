#!/bin/sh
# Measures the decoders beside the Python peers, in one run on one machine: benches/peers/run.sh
set -eu
cd "$(dirname "$0")/../.."
env=${PEERS_ENV:-target/peers}
[ -x "$env/bin/python" ] || python3 -m venv "$env"
"$env/bin/python" -c 'import bthome_ble, xiaomi_ble, switchbot' 2>/dev/null ||
    "$env/bin/pip" install -q bthome-ble xiaomi-ble PySwitchbot
echo "peers:"
"$env/bin/python" benches/peers/peers.py
echo "portcullis:"
cargo bench -q --bench decode
