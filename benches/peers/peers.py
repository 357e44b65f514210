#!/usr/bin/env python3
"""What an advert costs the Python peers, on the adverts of benches/decode.rs: one line a measurement, in the same words.

Run it with run.sh, which installs the peers into an environment of their own. A peer that is not there is left out, and said so."""
import time

ADDRESS = "54:48:E6:8F:80:A5"


def cost(call, run=0.4):
    """Nanoseconds a call, the best of three runs."""
    best = float("inf")
    for _ in range(3):
        start, calls = time.perf_counter_ns(), 0
        while time.perf_counter_ns() - start < run * 1e9:
            for _ in range(64):
                call()
            calls += 64
        best = min(best, (time.perf_counter_ns() - start) / calls)
    return best


def report(name, ns):
    print(f"{name:<44} {ns:>9.0f} ns {1e9 / ns:>12.0f} adverts/s", flush=True)


def uuid(short):
    return f"0000{short}-0000-1000-8000-00805f9b34fb"


def info(service_data, address=ADDRESS):
    from habluetooth import BluetoothServiceInfoBleak
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

    data = {uuid(k): bytes.fromhex(v) for k, v in service_data.items()}
    device = BLEDevice(address, "x", {})
    advertisement = AdvertisementData("x", {}, data, [], None, -60, ())
    return BluetoothServiceInfoBleak("x", address, -60, {}, data, list(data), "hci0", device, advertisement, True, 0.0, None)


def bthome():
    from bthome_ble.parser import BTHomeBluetoothDeviceData

    plain = info({"fcd2": "400009015d025d0903b718"})
    report("bthome_plain", cost(lambda: BTHomeBluetoothDeviceData().update(plain)))
    key = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
    sealed = info({"fcd2": "41a47266c95f730011223378237214"})
    report("bthome_encrypted", cost(lambda: BTHomeBluetoothDeviceData(bindkey=key).update(sealed)))
    # One parser for a device, as Home Assistant has it; packet ids and counters are no repeats after 4 s.
    parser, times = BTHomeBluetoothDeviceData(), iter(range(1 << 40))
    def again():
        plain.time = next(times) * 5.0
        parser.update(plain)
    report("bthome_plain, one parser", cost(again))


def xiaomi():
    from xiaomi_ble.parser import XiaomiBluetoothDeviceData

    plain = info({"fe95": "4040390e110b0009b1000000000000005f0a100130"})
    parser = XiaomiBluetoothDeviceData()
    report("mibeacon_plain", cost(lambda: parser.update(plain)))
    key = bytes.fromhex("2c3795afa33019a8afdc17ba99e6f217")
    sealed = info({"fe95": "4855390e35bf9fd9a08beff236ec5bd8315300008e550b6e"}, "EE:89:73:44:BE:98")
    keyed = XiaomiBluetoothDeviceData(bindkey=key)
    report("mibeacon_encrypted", cost(lambda: keyed.update(sealed)))


def switchbot():
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData
    from switchbot import adv_parser

    data = {0x0969: bytes.fromhex("c7f5b0d1a4f20a8b0020")}
    advertisement = AdvertisementData("x", data, {uuid("fd3d"): bytes.fromhex("6f006400")}, [], None, -60, ())
    device = BLEDevice(ADDRESS, "x", {})
    caches = [f for f in vars(adv_parser).values() if hasattr(f, "cache_clear")]
    def uncached():
        for cache in caches:
            cache.cache_clear()
        adv_parser.parse_advertisement_data(device, advertisement)
    if adv_parser.parse_advertisement_data(device, advertisement) is None:
        raise RuntimeError("the peer does not know the advert")
    report("switchbot_lock", cost(uncached))
    report("switchbot_lock, from its cache", cost(lambda: adv_parser.parse_advertisement_data(device, advertisement)))


for peer in (bthome, xiaomi, switchbot):
    try:
        peer()
    except Exception as e:  # a peer that is not there, or of another version
        print(f"{peer.__name__}: not measured: {type(e).__name__}: {e}")
