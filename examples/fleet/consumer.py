#!/usr/bin/env python3
"""A consumer of a fleet: keeps each event once, knows what is missing, and asks the hub for it.

    consumer.py FLEET_DIR USER DATABASE [--follow SECONDS] [--backfill] [--ledger FILE] [--print]

FLEET_DIR is what deploy/fleet/provision.py keeps; of it a consumer needs nodes.json, ca.pem and readers/USER. What was read goes into
an SQLite database, in one transaction with what it means, and is acknowledged to the stream after that: killed at any moment, it goes
on where it was. Prints a JSON object at its end; the exit code is 1 where events are missing. Needs nats-py.
"""

import argparse
import asyncio
import json
import logging
import sqlite3
import ssl
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path

import nats

# asyncio dislikes how nats-py ends TLS.
logging.getLogger("asyncio").setLevel(logging.ERROR)

STREAM = "EVENTS"
BATCH = 500

# `told` is the order in which the stream has them; `live` says that it was no backfill.
SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    event_id TEXT PRIMARY KEY, hub TEXT, log_id TEXT, seq INTEGER, told INTEGER, live INTEGER, body TEXT, UNIQUE (hub, log_id, seq));
CREATE TABLE IF NOT EXISTS lost (hub TEXT, log_id TEXT, first INTEGER, last INTEGER, why TEXT);
CREATE TABLE IF NOT EXISTS count (what TEXT PRIMARY KEY, n INTEGER);
"""

# Holes between the first and the last event of a log that are here. A log begins at 1, so what is before the first is missing too.
GAPS = """
SELECT hub, log_id, before + 1, seq - 1 FROM
    (SELECT hub, log_id, seq, lag(seq, 1, 0) OVER (PARTITION BY hub, log_id ORDER BY seq) AS before FROM event)
WHERE seq > before + 1 AND NOT EXISTS (SELECT 1 FROM lost l
    WHERE l.hub = hub AND l.log_id = log_id AND l.first <= before + 1 AND l.last >= seq - 1)
"""

# First tellings that came after a later event of the same log.
LATE = """
SELECT count(*) FROM (SELECT told, max(told) OVER (PARTITION BY hub, log_id ORDER BY seq) AS most FROM event WHERE live) WHERE told < most
"""


class Book:
    """What was read, on disk."""

    def __init__(self, path):
        self.db = sqlite3.connect(path)
        self.db.executescript(SCHEMA)

    def take(self, messages):
        """Keeps what is new; returns it."""
        fresh = []
        with self.db:
            for message in messages:
                # portcullis.HUB.event.… or portcullis.HUB.backfill.…, the first as the MQTT listener keeps it.
                _, hub, kind, *_ = message.subject.removeprefix("$MQTT.msgs.").split(".")
                event = json.loads(message.data)
                row = (event["event_id"], hub, event["log_id"], event["seq"], message.metadata.sequence.stream, kind == "event",
                       message.data.decode())
                kept = self.db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING", row)
                if kept.rowcount:
                    fresh.append((hub, event))
                else:
                    self.count("doubles")
        return fresh

    def count(self, what):
        self.db.execute("INSERT INTO count VALUES (?, 1) ON CONFLICT (what) DO UPDATE SET n = n + 1", (what,))

    def gaps(self):
        return self.db.execute(GAPS).fetchall()

    def lose(self, hub, log_id, first, last, why):
        """What cannot be had any more; it is known, and asked for no more."""
        with self.db:
            self.db.execute("INSERT INTO lost VALUES (?, ?, ?, ?, ?)", (hub, log_id, first, last, why))

    def behind(self, ledger):
        """Events that a hub's broker acknowledged and that are not here, by hub."""
        missing = {}
        for line in open(ledger):
            row = json.loads(line)
            here, = self.db.execute("SELECT count(*) FROM event WHERE hub = ? AND log_id = ? AND seq <= ?",
                                    (row["hub"], row["log_id"], row["acknowledged"])).fetchone()
            if here != row["acknowledged"]:
                missing[row["hub"]] = row["acknowledged"] - here
        return missing

    def report(self):
        one = lambda query: (self.db.execute(query).fetchone() or [0])[0]
        return {
            "hubs": one("SELECT count(DISTINCT hub) FROM event"), "events": one("SELECT count(*) FROM event"),
            "doubles": one("SELECT n FROM count WHERE what = 'doubles'"), "late": one(LATE),
            "gaps": [list(gap) for gap in self.gaps()],
            "lost": [list(row) for row in self.db.execute("SELECT * FROM lost")],
        }


async def connect(directory, user):
    nodes = json.loads((directory / "nodes.json").read_text())
    return await nats.connect(
        [f"tls://{node['host']}:{node['client']}" for node in nodes.values()],
        tls=ssl.create_default_context(cafile=directory / "ca.pem"),
        user=user, password=(directory / "readers" / user / "mqtt_password").read_text().strip(),
        max_reconnect_attempts=-1)


async def read(client, book, name, until, show):
    """Reads on from where this consumer was, and comes back when `until` says so, or nothing more comes."""
    subscription = await subscribe(client, name)
    while True:
        try:
            messages = await subscription.fetch(BATCH, timeout=2)
        # Its client has a timeout of its own, which is one of asyncio's, and lets asyncio's through as well.
        except (asyncio.TimeoutError, nats.js.errors.ServiceUnavailableError, nats.errors.NoRespondersError):
            messages = []
        for hub, event in book.take(messages):
            if show:
                print(f"{event['created_at']}  {hub:12} {event['seq']:6}  {event['event_type']}", flush=True)
        # Only now: what a crash before it leaves unacknowledged comes again, and is dropped by its event_id.
        await asyncio.gather(*(message.ack() for message in messages))
        if not messages and until() and await is_through(subscription):
            return


async def subscribe(client, name, tries=20):
    """For some seconds after a node was lost nobody answers for its streams, or somebody says that he cannot."""
    while True:
        try:
            return await client.jetstream().pull_subscribe("", durable=name, stream=STREAM)
        except (asyncio.TimeoutError, nats.js.errors.ServiceUnavailableError, nats.errors.NoRespondersError):
            tries -= 1
            if not tries:
                raise
            await asyncio.sleep(3)


async def is_through(subscription):
    """Whether the stream has nothing more for us. A cluster that is busy, or has just lost a node, answers late, and a fetch comes back empty."""
    try:
        info = await subscription.consumer_info()
    except (asyncio.TimeoutError, nats.js.errors.Error, nats.errors.Error):
        return False
    return info.num_pending == 0 and info.num_ack_pending == 0


async def backfill(client, book, gap):
    """Asks a hub for what is missing. It answers at once that it will, or why not, and at the end."""
    hub, log_id, first, last = gap
    topic = f"portcullis.{hub}.reply.{uuid.uuid4().hex}"
    answers = await client.subscribe(topic)
    for start in range(first, last + 1, 10_000):
        request = {
            "id": str(uuid.uuid4()), "sent_at": datetime.now(timezone.utc).isoformat(), "reply_to": topic.replace(".", "/"),
            "log_id": log_id, "from": start, "to": min(start + 9_999, last)}
        await client.publish(f"portcullis.{hub}.command.backfill", json.dumps(request).encode())
        state = None
        while state != "done":
            try:
                # 10,000 events at 50 a second, and as much again.
                answer = json.loads((await answers.next_msg(timeout=400 if state else 15)).data)
            except asyncio.TimeoutError:
                print(f"{hub}: no answer; it is asked again the next time", file=sys.stderr)
                return
            if not answer["ok"]:
                error = answer["error"]
                print(f"{hub}: {error['message']}", file=sys.stderr)
                if error["type"] == "pruned":
                    book.lose(hub, log_id, start, min(request["to"], error["log"]["first"] - 1), error["message"])
                elif error["type"] == "other_log":
                    book.lose(hub, log_id, start, last, error["message"])
                return
            state = answer["result"]["state"]
            for hole in answer["result"].get("missing", []):
                book.lose(hub, log_id, *hole, "damaged in the hub's own log")
    await answers.unsubscribe()


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fleet", type=Path)
    parser.add_argument("user")
    parser.add_argument("database", type=Path)
    parser.add_argument("--follow", type=float, default=0, metavar="SECONDS", help="go on reading for so long")
    parser.add_argument("--backfill", action="store_true", help="ask hubs for what is missing")
    parser.add_argument("--ledger", type=Path, help="what the hubs' broker acknowledged, as `portcullis fleet-load` writes it")
    parser.add_argument("--print", action="store_true", help="a line an event")
    args = parser.parse_args()
    book = Book(args.database)
    client = await connect(args.fleet, args.user)
    loop = asyncio.get_running_loop()
    end = loop.time() + args.follow
    await read(client, book, args.user, lambda: loop.time() >= end, args.print)
    if args.backfill and book.gaps():
        for gap in book.gaps():
            await backfill(client, book, gap)
        await read(client, book, args.user, lambda: True, args.print)
    await client.close()
    report = book.report()
    if args.ledger:
        report["behind"] = book.behind(args.ledger)
    print(json.dumps(report))
    return 1 if report["gaps"] or report.get("behind") else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
