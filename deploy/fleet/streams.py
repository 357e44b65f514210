#!/usr/bin/env python3
"""Makes the streams of streams/*.json, or brings them to what is written there, and says how full they are.

    streams.py DIR [--bytes N] [--full STREAM=EVENTS] [--patience SECONDS]     DIR is what provision.py keeps; needs nats-py

Run it once before the first hub connects: what it makes of $MQTT_msgs is what an acknowledgement rests on. --bytes is for a disk that
is smaller than the limits written there, --full for trying what a full stream does; --patience is how long a cluster may take to answer
after it lost nodes (60 s unless told). A stream that exists keeps its messages.
"""

import argparse
import asyncio
import json
import logging
import ssl
from pathlib import Path

import nats

# asyncio dislikes how nats-py ends TLS.
logging.getLogger("asyncio").setLevel(logging.ERROR)

HERE = Path(__file__).resolve().parent


async def connect(directory, user="admin", kind="admins"):
    """To whichever node is there."""
    nodes = json.loads((directory / "nodes.json").read_text())
    return await nats.connect(
        [f"tls://{node['host']}:{node['client']}" for node in nodes.values()],
        tls=ssl.create_default_context(cafile=directory / "ca.pem"),
        user=user, password=(directory / kind / user / "mqtt_password").read_text().strip(),
        max_reconnect_attempts=-1)


def lag(source):
    """What a stream has not taken of another one. One that has a new leader knows nothing for some seconds: not to be taken for nothing."""
    alive = 0 <= source.get("active", -1) < 15_000_000_000
    return source["lag"] if alive else max(source.get("lag", 0), 1)


async def ask(client, verb, body=None, *, patience):
    """The engine's own API; a cluster that is just coming up has no leader yet and says so, or nothing."""
    payload = json.dumps(body).encode() if body else b""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while True:
        try:
            answer = json.loads((await client.request(f"$JS.API.{verb}", payload, timeout=5)).data)
            if answer.get("error", {}).get("code") != 503:
                return answer
        except (asyncio.TimeoutError, nats.errors.NoRespondersError):
            answer = {"error": {"description": "no answer"}}
        if loop.time() > until:
            raise SystemExit(f"{verb}: {answer['error']['description']}")
        await asyncio.sleep(0.5)


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("--bytes", type=int)
    parser.add_argument("--full", default="=")
    parser.add_argument("--patience", type=float, default=60)
    args = parser.parse_args()
    client = await connect(args.dir)
    for file in sorted((HERE / "streams").glob("*.json")):
        wanted = json.loads(file.read_text())
        name = wanted["name"]
        full, _, events = args.full.partition("=")
        if name == full:
            wanted["max_msgs"] = int(events)
        if args.bytes is not None:
            wanted["max_bytes"] = args.bytes
        there = await ask(client, f"STREAM.INFO.{name}", patience=args.patience)
        if there.get("config", wanted)["retention"] != wanted["retention"]:
            raise SystemExit(f"{name}: a hub was here first, and NATS made it; disconnect the hubs, delete it, and run this again")
        verb = "CREATE" if "error" in there else "UPDATE"
        answer = await ask(client, f"STREAM.{verb}.{name}", wanted, patience=args.patience)
        if "error" in answer:
            raise SystemExit(f"{name}: {answer['error']['description']}")
        behind = sum(lag(source) for source in there.get("sources") or wanted.get("sources", []))
        limits = {limit: wanted[limit] for limit in ["max_msgs", "max_bytes"]}
        print(json.dumps({"stream": name, "state": answer["state"], "limits": limits, "behind": behind}))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
