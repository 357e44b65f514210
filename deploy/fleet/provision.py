#!/usr/bin/env python3
"""Keeps the papers of a fleet: the cluster's configuration and certificates, and one credential for each hub.

    provision.py DIR cluster NODE NODE NODE      an authority, and the configuration of three nodes
    provision.py DIR hub NAME…                   credentials that may write the topics of that hub and no others
    provision.py DIR site NAME HUB…              one for a bridge that speaks for the hubs of a site
    provision.py DIR reader NAME                 one for a consumer: reads the stream, asks hubs for what is missing
    provision.py DIR remove NAME…                takes credentials back

A NODE is NAME@HOST, or NAME@HOST:CLIENT:ROUTE:MQTT:MONITOR with ports (4222, 6222, 8883, 8222). DIR/accounts.conf is written anew
each time; copy it to the nodes and tell them: nats-server --signal reload. DIR/hubs/NAME is what a hub is given. Needs openssl
and perl, nothing else. Run again, it keeps what is there.
"""

import argparse
import json
import os
import re
import secrets
import string
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
PREFIX = "portcullis"
CLUSTER = ["admin"]  # makes streams; on no machine but the operator's
LEVEL = re.compile(r"[A-Za-z0-9_-]{1,64}")


def rights(kind, name, hubs):
    """What a user may publish and subscribe to, as NATS subjects: a topic with dots for its slashes."""
    if kind in ("hub", "site"):
        own = [f"{PREFIX}.{hub}" for hub in hubs]
        told = ["event.>", "backfill.>", "device.*", "status", "health", "reply.>", "doctor"]
        publish = [f"{hub}.{what}" for hub in own for what in told]
        # NATS delivers what is subscribed to with QoS 1 under a subject of its own.
        heard = [f"{hub}.{what}" for hub in own for what in ["command.*", "doctor"]] + ["$MQTT.sub.>"]
        return publish, heard, ["MQTT"]
    if kind == "reader":
        stream = "EVENTS"
        publish = ["$JS.API.INFO", f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}"]
        publish += [f"$JS.API.CONSUMER.{verb}.{stream}.>" for verb in ["CREATE", "DURABLE.CREATE", "INFO", "MSG.NEXT", "DELETE"]]
        publish += [f"$JS.API.CONSUMER.CREATE.{stream}", f"$JS.ACK.{stream}.>", "$JS.API.STREAM.NAMES"]
        # To ask for what is missing is all that a reader may ask a hub.
        publish += [f"{PREFIX}.*.command.backfill"]
        return publish, ["_INBOX.>", f"{PREFIX}.*.reply.>", f"{PREFIX}.*.status", f"{PREFIX}.*.event.>"], ["STANDARD", "MQTT"]
    return [">"], [">"], ["STANDARD", "MQTT"]


def hashed(passwords):
    """bcrypt by the system's crypt(3). The cheapest cost: these are 192 random bits, which no rounds make harder to guess, and five
    thousand hubs that come back after an outage are checked by the same processors that serve them."""
    salts = [secrets.token_bytes(16).hex()[:21] + "u" for _ in passwords]
    lines = "".join(f"{password} $2b$04${salt}\n" for password, salt in zip(passwords, salts))
    program = 'while (<STDIN>) { my ($p, $s) = split; print crypt($p, $s), "\\n" }'
    done = subprocess.run(["perl", "-e", program], input=lines, text=True, check=True, capture_output=True)
    hashes = done.stdout.split()
    if len(hashes) != len(passwords) or not all(h.startswith("$2b$04$") for h in hashes):
        raise SystemExit("this system's crypt(3) knows no bcrypt")
    return hashes


def write(path, text, mode=0o644):
    """Whole or not at all, and never readable by others for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    temporary.rename(path)


class Fleet:
    def __init__(self, directory):
        self.dir = Path(directory).resolve()
        self.book = self.dir / "users.json"
        self.users = json.loads(self.book.read_text()) if self.book.exists() else {}

    def add(self, kind, names, hubs=None):
        """Credentials for those of `names` that have none."""
        for name in [*names, *(hubs or [])]:
            if not LEVEL.fullmatch(name):
                raise SystemExit(f"{name!r}: a name has letters, digits, _ and -, 64 at most")
        fresh = [name for name in names if name not in self.users]
        passwords = [secrets.token_urlsafe(24) for _ in fresh]
        for name, password, hash_ in zip(fresh, passwords, hashed(passwords) if fresh else []):
            self.users[name] = {"kind": kind, "hubs": hubs or [name], "hash": hash_}
            home = self.dir / f"{kind}s" / name
            write(home / "mqtt_password", password + "\n", 0o600)
            if kind == "hub":
                write(home / "hub.toml", self.hub_toml(name))
        for name in names:
            if hubs is not None:
                self.users[name]["hubs"] = hubs
        if kind == "site":
            self.bridge(names[0], hubs)

    def fill(self, template, **values):
        return string.Template((HERE / template).read_text()).substitute(**values)

    def addresses(self):
        nodes = json.loads((self.dir / "nodes.json").read_text())
        return [f"{node['host']}:{node['mqtt']}" for node in nodes.values()]

    def bridge(self, name, hubs):
        """What the site's Mosquitto is given. Each hub by name: a bridge that asks for more than it may is given nothing."""
        home = self.dir / "sites" / name
        out = ["event/#", "backfill/#", "reply/#", "device/+", "status", "health"]
        topics = [f"topic {PREFIX}/{hub}/{what} out 1" for hub in hubs for what in out]
        topics += [f"topic {PREFIX}/{hub}/command/backfill in 1" for hub in hubs]
        write(home / "bridge.conf", self.fill(
            "bridge.conf.in", site=name, nodes=" ".join(self.addresses()), topics="\n".join(topics),
            password=(home / "mqtt_password").read_text().strip(), ca_file=self.dir / "ca.pem"), 0o600)

    def hub_toml(self, name):
        """What a hub's configuration has of the fleet."""
        first, *others = self.addresses()
        quoted = ", ".join(f'"{address}"' for address in others)
        return self.fill("hub.toml.in", name=name, first=first, others=quoted, prefix=PREFIX)

    def remove(self, names):
        for name in names:
            if self.users.pop(name, None) is None:
                raise SystemExit(f"{name}: no such credential")

    def save(self):
        write(self.book, json.dumps(self.users, indent=1) + "\n", 0o600)
        entries = []
        for name, user in sorted(self.users.items()):
            publish, subscribe, kinds = rights(user["kind"], name, user["hubs"])
            permissions = "" if user["kind"] == "admin" else (
                f", permissions: {{ publish: {{ allow: {json.dumps(publish)} }}, subscribe: {{ allow: {json.dumps(subscribe)} }} }}")
            entries.append(
                f'    {{ user: "{name}", password: "{user["hash"]}", allowed_connection_types: {json.dumps(kinds)}{permissions} }}')
        text = "# Written by provision.py.\naccounts {\n  FLEET {\n   jetstream: enabled\n   users: [\n" + "\n".join(entries) + "\n   ]\n  }\n"
        write(self.dir / "accounts.conf", text + "  SYS { users: [] }\n}\nsystem_account: SYS\n", 0o600)

    def cluster(self, nodes, max_file):
        parsed = {}
        for node in nodes:
            match = re.fullmatch(r"([A-Za-z0-9_-]+)@([^:@]+)(?::(\d+):(\d+):(\d+):(\d+))?", node)
            if not match:
                raise SystemExit(f"{node!r} is no NAME@HOST or NAME@HOST:CLIENT:ROUTE:MQTT:MONITOR")
            name, host, *ports = match.groups()
            ports = [int(given or usual) for given, usual in zip(ports, [4222, 6222, 8883, 8222])]
            parsed[name] = dict(zip(["host", "client", "route", "mqtt", "monitor"], [host, *ports]))
        self.dir.mkdir(parents=True, exist_ok=True)
        write(self.dir / "nodes.json", json.dumps(parsed, indent=1) + "\n")
        self.authority()
        routes = ", ".join(f'"nats://{n["host"]}:{n["route"]}"' for n in parsed.values())
        for name, node in parsed.items():
            self.certificate(name, node["host"])
            places = {key: f'{node["host"]}:{node[key]}' for key in ["client", "route", "mqtt"]}
            write(self.dir / f"{name}.conf", self.fill(
                "node.conf.in", name=name, dir=self.dir, routes=routes, monitor=f'127.0.0.1:{node["monitor"]}', max_file=max_file, **places))
        self.add("admin", CLUSTER)

    def authority(self):
        if not (self.dir / "ca.pem").exists():
            self.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj".split()
                         + ["/CN=Portcullis fleet authority", "-keyout", "ca.key", "-out", "ca.pem",
                            "-addext", "keyUsage=critical,keyCertSign,cRLSign"])
            os.chmod(self.dir / "ca.key", 0o600)

    def certificate(self, name, host):
        if (self.dir / f"{name}.pem").exists():
            return
        is_address = re.fullmatch(r"[0-9.]+|\[.*\]", host)
        names = f"subjectAltName={'IP' if is_address else 'DNS'}:{host.strip('[]')}"
        if is_address and host.startswith("127."):
            names += ",DNS:localhost"
        write(self.dir / "extensions", f"{names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n")
        self.openssl(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr"])
        self.openssl(["x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "825",
                      "-extfile", "extensions", "-out", f"{name}.pem"])
        os.chmod(self.dir / f"{name}.key", 0o600)
        for spare in [f"{name}.csr", "extensions"]:
            (self.dir / spare).unlink()

    def openssl(self, arguments):
        subprocess.run(["openssl", *arguments], cwd=self.dir, check=True, capture_output=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    verbs = parser.add_subparsers(dest="verb", required=True)
    cluster = verbs.add_parser("cluster")
    cluster.add_argument("nodes", nargs=3)
    cluster.add_argument("--max-file", default="100GB", help="what JetStream may take of each node's disk")
    for verb in ["hub", "reader", "remove"]:
        verbs.add_parser(verb).add_argument("names", nargs="+")
    site = verbs.add_parser("site")
    site.add_argument("name")
    site.add_argument("hubs", nargs="+")
    args = parser.parse_args()
    fleet = Fleet(args.dir)
    match args.verb:
        case "cluster":
            fleet.cluster(args.nodes, args.max_file)
        case "site":
            fleet.add("site", [args.name], args.hubs)
        case "remove":
            fleet.remove(args.names)
        case kind:
            fleet.add(kind, args.names)
    fleet.save()


if __name__ == "__main__":
    main()
