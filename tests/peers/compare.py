#!/usr/bin/env python3
"""Random adverts through the peers and through `portcullis decode`: what differs is printed. See README.md.

Each family is a class: `make` gives a line for `portcullis decode`, `expect` what the peer makes of it (None: nothing),
in the words of the vocabulary. A family leaves out of `words` what the peer does not know.
"""
import argparse
import collections
import json
import logging
import random
import subprocess
import sys
import time

logging.disable(logging.CRITICAL)


def data(rng, low, high):
    return bytes(rng.randrange(256) for _ in range(rng.randint(low, high)))


def long_uuid(short):
    return f"0000{short}-0000-1000-8000-00805f9b34fb"


NO_OPINION = object()


def percent(value):
    """A percentage above 100 is no reading (decision 0205)."""
    return value if value is None or 0 <= value <= 100 else None


class SwitchBot:
    words = ("lock_state", "door_open", "battery_percent", "battery_low", "tamper", "motion", "lockout_alarm", "duress_alarm",
             "doorbell", "battery_charging", "temperature_c", "humidity_percent", "water_leak")
    NAMES = {"motion_detected": "motion", "battery": "battery_percent", "temperature": "temperature_c",
             "humidity": "humidity_percent", "door_open": "door_open", "contact_open": "door_open", "leak": "water_leak",
             "tampered": "tamper", "tamper_alarm": "tamper", "battery_charging": "battery_charging",
             "charging": "battery_charging", "lockout_alarm": "lockout_alarm", "duress_alarm": "duress_alarm",
             "doorbell": "doorbell", "low_battery": "battery_low"}
    STATES = {"LOCKED": "locked", "UNLOCKED": "unlocked", "LOCKING": "locking", "UNLOCKING": "unlocking",
              "LOCKING_STOP": "jammed", "UNLOCKING_STOP": "jammed"}
    # Decision 0202: an uncalibrated lock does not know its bolt.
    CALIBRATED = {"WoLock", "Lock Lite", "WoLockPro", "Lock Ultra"}

    def __init__(self):
        from switchbot import adv_parser
        self.parser = adv_parser
        self.models = list(adv_parser.SUPPORTED_TYPES)

    def make(self, rng):
        model = rng.choice(self.models)
        if isinstance(model, bytes) and len(model) == 4:
            service = bytes([0]) + data(rng, 2, 4) + model + (data(rng, 1, 1) if rng.random() < 0.3 else b"")
        else:
            letter = model.encode() if isinstance(model, str) else model
            service = letter + data(rng, 0, 9)
        line = {"service_data": {"fd3d": service.hex()}}
        if rng.random() < 0.9:
            line["manufacturer_data"] = {"0969": (bytes.fromhex("aabbccddeeff") + data(rng, 0, 14)).hex()}
        return line

    def expect(self, line):
        service = bytes.fromhex(line["service_data"]["fd3d"])
        mfr = line.get("manufacturer_data", {}).get("0969")
        try:
            parsed = self.parser._parse_data(service, bytes.fromhex(mfr) if mfr else None, 0x0969 if mfr else None, None)
        except ValueError as undefined:
            # Of a lock with an undefined status nothing is known; of a heater in an undefined mode the rest is.
            return None if "LockStatus" in str(undefined) else NO_OPINION
        except Exception:  # noqa: BLE001
            return NO_OPINION
        said = (parsed or {}).get("data") or {}
        out = {name: said[key] for key, name in self.NAMES.items() if said.get(key) is not None}
        name = str(parsed.get("modelName")) if parsed else ""
        if "status" in said:
            state = self.STATES.get(said["status"].name, "unknown")
            out["lock_state"] = "unknown" if name in self.CALIBRATED and not said["calibration"] else state
        for word in ("battery_percent", "humidity_percent"):
            out[word] = percent(out.get(word))
        if name == "Evaporative Humidifier" and out["humidity_percent"] is None:
            out.pop("temperature_c", None)
        if all(out.get(word) is None for word in self.words) and percent(said.get("battery")) is None:
            return NO_OPINION
        return out if any(v is not None for key, v in said.items() if key != "switchMode") else None


class ServiceInfo:
    """The peers of Bluetooth-Devices: a sensor library each, one way to ask."""
    NAMES = {"temperature": "temperature_c", "humidity": "humidity_percent", "battery": "battery_percent"}
    BINARY = {"motion": "motion", "occupancy": "occupancy", "presence": "presence", "window": "door_open", "door": "door_open"}
    words = (*NAMES.values(), "motion", "occupancy", "presence", "door_open")

    def ask(self, parser, line):
        from home_assistant_bluetooth import BluetoothServiceInfo
        info = BluetoothServiceInfo(
            name=line.get("name", ""), address="00:00:00:00:00:00", rssi=-60, source="local",
            manufacturer_data={int(k, 16): bytes.fromhex(v) for k, v in line.get("manufacturer_data", {}).items()},
            service_data={long_uuid(k): bytes.fromhex(v) for k, v in line.get("service_data", {}).items()},
            service_uuids=[long_uuid(u) for u in line.get("service_uuids", [])])
        try:
            update = parser.update(info)
        except Exception:  # noqa: BLE001
            return None
        values = {key.key: v.native_value for key, v in update.entity_values.items() if key.key != "signal_strength"}
        binary = {key.key: v.native_value for key, v in update.binary_entity_values.items()}
        if not values and not binary and not update.events:
            return None
        out = {name: values.get(key) for key, name in self.NAMES.items()}
        out |= {name: binary[key] for key, name in self.BINARY.items() if key in binary}
        return out


class Govee(ServiceInfo):
    MODELS = ["H5072", "H5075", "H5129", "H5074", "H5051", "H5052", "H5071", "H5100", "H5101", "H5102", "H5103", "H5104", "H5105",
              "H5106", "H5108", "H5110", "H5112", "H5140", "H5174", "H5177", "H5178", "H5179", "H5127", "H5181", "H5182", "H5183",
              "H5184", "H5185", "H5191", "H5198"]

    def make(self, rng):
        if rng.random() < 0.3:
            return self.sealed(rng)
        model = rng.choice(self.MODELS)
        company = rng.choice(["0001", "ec88", "8801", "8803", "1b36", "3022"])
        payload = data(rng, 0, 1) if rng.random() < 0.05 else data(rng, *([rng.choice([6, 7, 8, 9, 14, 17, 20])] * 2))
        if model == "H5127":
            payload = bytes([0xEC, 0, rng.choice([1, 2]), 1]) + data(rng, 2, 2)
        if len(payload) == 9 and payload[1] == 1:
            payload = bytes([payload[0], 0]) + payload[2:]
        return {"name": f"GV{model}_1234", "manufacturer_data": {company: payload.hex()}}

    def sealed(self, rng):
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from govee_ble.parser import calculate_crc
        model = rng.choice([2, 3, 8, 9, 10, 11, 13, 77])
        opened = bytes([1, 5, model, 2, rng.randint(0, 100), rng.choice([0, 1, 2, 16])]) + bytes(10)
        moment = data(rng, 4, 4)
        cipher = Cipher(algorithms.AES((moment + bytes(12))[::-1]), modes.ECB()).encryptor()
        block = (cipher.update(opened[::-1]) + cipher.finalize())[::-1]
        crc = calculate_crc(block) ^ (rng.random() < 0.1)
        return {"name": "Govee", "manufacturer_data": {"ef88": (data(rng, 2, 2) + moment + block + crc.to_bytes(2, "big")).hex()}}

    def expect(self, line):
        from govee_ble.parser import GoveeBluetoothDeviceData
        out = self.ask(GoveeBluetoothDeviceData(), line)
        if out is not None:
            out["battery_percent"] = percent(out["battery_percent"])
        return out


class Qingping(ServiceInfo):
    TYPES = [0x01, 0x04, 0x07, 0x09, 0x0C, 0x0E, 0x0F, 0x12, 0x15, 0x16, 0x18, 0x1E, 0x24, 0x33, 0x4F, 0x5D]
    LENGTHS = {0x01: 4, 0x02: 1, 0x04: 1, 0x07: 2, 0x08: 4, 0x09: 4, 0x0F: 1, 0x11: 1, 0x12: 4, 0x13: 2, 0x55: 3}

    def make(self, rng):
        payload = bytes([8, rng.choice(self.TYPES)]) + data(rng, 6, 6)
        for kind in rng.sample(list(self.LENGTHS), rng.randint(0, 4)):
            # Of the door three values are defined; of the battery bit 7 is another flag.
            value = {0x04: bytes([rng.randint(0, 2)]), 0x02: bytes([rng.randint(0, 100)])}.get(kind)
            payload += bytes([kind, self.LENGTHS[kind]]) + (value or data(rng, self.LENGTHS[kind], self.LENGTHS[kind]))
        if rng.random() < 0.1:
            payload = payload[:-1]
        return {"service_data": {"fdcd": payload.hex()}}

    def expect(self, line):
        from qingping_ble import QingpingBluetoothDeviceData
        return self.ask(QingpingBluetoothDeviceData(), line)


class Ruuvi(ServiceInfo):
    LENGTHS = {0x03: 14, 0x05: 24, 0x06: 20, 0xE1: 40}

    def make(self, rng):
        kind = rng.choice(list(self.LENGTHS))
        payload = bytes([kind]) + data(rng, self.LENGTHS[kind] - 1, self.LENGTHS[kind] - 1)
        # A humidity above 100 % in format 3 the peer leaves out, the vendor's samples have it.
        if kind == 3:
            payload = bytes([3, payload[1] % 201]) + payload[2:]
        return {"manufacturer_data": {"0499": (payload[:-1] if rng.random() < 0.05 else payload).hex()}}

    def expect(self, line):
        from ruuvitag_ble import RuuvitagBluetoothDeviceData
        return self.ask(RuuvitagBluetoothDeviceData(), line)


class TTLock:
    words = ("lock_state", "battery_percent")

    def make(self, rng):
        payload = data(rng, 9, 9) + bytes(2) if rng.random() < 0.5 else data(rng, 0, 27)
        return {"service_uuids": ["1910"], "manufacturer_data": {rng.choice(["0305", "0102", "1912", "ffff"]): payload.hex()}}

    def expect(self, line):
        from ttlock_ble import LockAdvertisement
        ((company, payload),) = line["manufacturer_data"].items()
        said = LockAdvertisement.from_manufacturer_data(int(company, 16), bytes.fromhex(payload))
        return said and {"lock_state": said.lock_state.name.lower(), "battery_percent": percent(said.battery)}


class Yale:
    words = ("lock_state", "door_open", "battery_percent")
    STATES = {"LOCKED": "locked", "SECUREMODE": "locked", "UNLOCKED": "unlocked", "LOCKING": "locking",
              "UNLOCKING": "unlocking", "JAMMED": "jammed"}

    def __init__(self):
        from yalexs_ble.lock import Lock
        # Only its parser: a lock of its own wants a Bluetooth device.
        class Parser(Lock):
            def __init__(self):
                self.name = "lock"

            def __getattr__(self, name):
                return None

        self.lock = Parser()

    def make(self, rng):
        frame = bytearray(data(rng, 18, 18))
        frame[0], frame[1] = rng.choice([0xBB, 0xBB, 0xAA]), rng.choice([0x02, 0x02, 0x02, 0x0A, 0x0B, 0x2D, 0x04])
        frame[4], frame[8], frame[9] = rng.choice([0x02, 0x2E, 0x2F, 0x0F]), rng.randrange(16), rng.randrange(28)
        frame[15] = rng.choice([0, *range(0x1E, 0x24)])
        return {"gatt": {"secure_read_plain": frame.hex()}}

    def expect(self, line):
        frame = bytes.fromhex(line["gatt"]["secure_read_plain"])
        # Decision 0203: an acknowledgement is no state.
        if frame[0] == 0xAA or frame[1] == 0x04:
            return None
        out = {}
        for said in self.lock._parse_state(frame) or ():
            kind = type(said).__name__
            if kind == "LockStatus":
                # Decision 0203: unlatched is unlocked; the peer does not know these two.
                unlatch = {9: "unlocking", 10: "unlocked"}.get(frame[8]) if frame[1] == 2 else None
                out["lock_state"] = unlatch or self.STATES.get(said.name, "unknown")
            elif kind == "DoorStatus":
                out["door_status"] = said.name
                out["door_open"] = {"CLOSED": False, "AJAR": True, "OPENED": True}.get(said.name)
            elif kind == "BatteryState":
                out["battery_percent"] = said.percentage
        return out or None


class Nuki:
    words = ("lock_state", "door_open", "battery_percent", "battery_low", "battery_charging", "tamper")
    STATES = {0x01: "locked", 0x02: "unlocking", 0x03: "unlocked", 0x04: "locking", 0x05: "unlocked", 0x06: "unlocked",
              0x07: "unlocking", 0xFE: "jammed"}

    def __init__(self):
        from pyNukiBT import NukiLockConst
        self.states = NukiLockConst.KeyturnerStates

    def make(self, rng):
        frame = bytearray(data(rng, 21, 21))
        frame[1] = rng.choice([*range(9), 0xFC, 0xFD, 0xFE, 0xFF])
        frame[3:10] = (2024).to_bytes(2, "little") + bytes([5, 6, 7, 8, 9])
        frame[18] = rng.choice([0, 1, 2, 3, 4, 5, 0x10, 0xF0, 0xFF])
        return {"gatt": {"keyturner_states_plain": frame.hex()}}

    def expect(self, line):
        frame = bytes.fromhex(line["gatt"]["keyturner_states_plain"])
        said = self.states.parse(frame)
        critical = said.critical_battery_state
        out = {"lock_state": self.STATES.get(int(said.lock_state), "unknown"), "battery_low": bool(critical & 1),
               "battery_charging": bool(critical & 2), "battery_percent": percent((critical & 0xFC) >> 1)}
        door = int(said.door_sensor_state)
        out["door_open"] = {2: False, 3: True}.get(door)
        out["tamper"] = True if door == 0xF0 else None
        return out


class BatteryLevelStatus:
    words = ("battery_percent", "battery_low", "battery_charging")

    def __init__(self):
        from bluetooth_sig.gatt.characteristics.battery_level_status import BatteryLevelStatusCharacteristic
        self.characteristic = BatteryLevelStatusCharacteristic()

    def make(self, rng):
        value = bytes([rng.randrange(8)]) + data(rng, 0, 6)
        return {"gatt": {"2bed": value.hex()}}

    def expect(self, line):
        value = bytes.fromhex(line["gatt"]["2bed"])
        try:
            said = self.characteristic._decode_value(bytearray(value))
        except ValueError as wrong:
            # The peer refuses values of its enumerations that are reserved; what is beside them stands.
            return NO_OPINION if "is not a valid" in str(wrong) else None
        except Exception:  # noqa: BLE001  Cut off.
            return None
        charging = {1: True, 2: False, 3: False}.get(int(said.battery_charge_state))
        low = {1: False, 2: True, 3: True}.get(int(said.battery_charge_level))
        return {"battery_percent": percent(said.battery_level), "battery_low": low, "battery_charging": charging}


class Eddystone:
    words = ("voltage_v", "temperature_c", "adv_count")

    def make(self, rng):
        return {"service_data": {"feaa": (bytes([0x20, 0]) + data(rng, 12, 12)).hex()}}

    def expect(self, line):
        from beacontools import parse_packet
        payload = bytes.fromhex(line["service_data"]["feaa"])
        packet = bytes.fromhex("020106" "0303aafe") + bytes([len(payload) + 3, 0x16, 0xAA, 0xFE]) + payload
        said = parse_packet(packet)
        # Decision 0204: signed, and two codes for "not measured".
        celsius = said.temperature - 256 if said.temperature >= 128 else said.temperature
        return {"voltage_v": said.voltage / 1000 or None, "adv_count": said.advertising_count,
                "temperature_c": None if payload[4:6] == b"\x80\x00" else celsius}


FAMILIES = {"switchbot": SwitchBot, "govee": Govee, "qingping": Qingping, "ruuvi": Ruuvi, "ttlock": TTLock, "yale": Yale,
            "nuki": Nuki, "battery_level_status": BatteryLevelStatus, "eddystone": Eddystone}


def same(theirs, ours):
    if isinstance(theirs, float) or isinstance(ours, float):
        return isinstance(theirs, (int, float)) and isinstance(ours, (int, float)) and abs(theirs - ours) <= 0.051
    return theirs == ours


def difference(words, expected, answer):
    if "error" in answer:
        return answer["error"]
    if expected is NO_OPINION:
        return None
    if answer["accepted"] != (expected is not None):
        return f"accepted is {answer['accepted']} ({answer.get('reject')}), the peer says {expected}"
    if expected is None:
        return None
    for word in words:
        theirs, ours = expected.get(word), answer["signals"].get(word)
        if not same(theirs, ours):
            return f"{word} is {ours}, the peer says {theirs}"
    return None


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binary")
    arguments.add_argument("--count", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    arguments.add_argument("--family", choices=FAMILIES)
    arguments.add_argument("--show", type=int, default=5)
    given = arguments.parse_args()
    print(f"seed {given.seed}")
    total = collections.Counter()
    for name, family in FAMILIES.items():
        if given.family not in (None, name):
            continue
        try:
            peer = family()
            rng = random.Random(f"{given.seed} {name}")
            lines = [peer.make(rng) for _ in range(given.count)]
            expected = [peer.expect(line) for line in lines]
        except (ImportError, SyntaxError) as missing:
            print(f"{name}: left out, {missing}")
            continue
        text = "".join(json.dumps(line) + "\n" for line in lines)
        out = subprocess.run([given.binary, "decode"], input=text, capture_output=True, text=True, check=True).stdout
        differing = [(line, why) for line, theirs, answer in zip(lines, expected, out.splitlines(), strict=True)
                     if (why := difference(peer.words, theirs, json.loads(answer)))]
        accepted = sum(isinstance(e, dict) for e in expected)
        print(f"{name}: {given.count - len(differing)} of {given.count} alike ({accepted} accepted by the peer)")
        for line, why in differing[:given.show]:
            print(f"  {json.dumps(line)}\n    {why}")
        total["differ"] += len(differing)
    sys.exit(1 if total["differ"] else 0)


if __name__ == "__main__":
    main()
