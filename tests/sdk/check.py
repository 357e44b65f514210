"""Drives a hub with Seam's official Python SDK: check.py ENDPOINT API_KEY.

It wants a demo, in either dialect of its events, and makes what it changes, but for the bolts of the locks. Prints a line for each thing that
holds or does not; ends with 1 where one does not. What Seam's schemas say of the answers is held by the Node SDK's check.
"""

import asyncio
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone

from seam import NULL, AsyncSeam, Seam
from seam.exceptions import SeamHttpApiError, SeamHttpInvalidInputError, SeamHttpUnauthorizedError

endpoint, api_key = sys.argv[1:]
seam = Seam(api_key=api_key, endpoint=endpoint)
no_wait = Seam(api_key=api_key, endpoint=endpoint, wait_for_action_attempt=False)
NOBODY = str(uuid.uuid4())
EPOCH = "1970-01-01T00:00:00.000Z"
failed = 0


def check(promise):
    """Runs the function below it at once, and says whether the promise holds."""

    def run(work):
        global failed
        try:
            work()
            print(f"holds  {promise}", flush=True)
        except Exception as error:  # whatever it is, the promise is broken
            failed += 1
            where = error.__traceback__.tb_next
            print(f"FAILS  {promise}: line {where and where.tb_lineno}: {type(error).__name__} {str(error)[:400]}", flush=True)

    return run


def refused(kind, work):
    try:
        answer = work()
    except kind as error:
        return error
    raise AssertionError(f"answered {str(answer)[:200]}, though {kind.__name__} was due")


def until(what, work):
    end = time.monotonic() + 15
    while True:
        found = work()
        if found:
            return found
        assert time.monotonic() < end, f"{what}: not within 15 s"
        time.sleep(0.2)


def told(since, event_type, fits):
    return until(event_type, lambda: next(filter(fits, seam.events.list(since=since, event_type=event_type)), None))


def a_moment_ago():
    return (datetime.now(timezone.utc) - timedelta(seconds=2)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


devices = seam.devices.list()
lock = next(d for d in devices if d.can_remotely_unlock and d.properties.online)


@check("what is wrong with a request is an exception of its kind")
def _():
    stranger = Seam(api_key="seam_wrong1_00000000000000000000", endpoint=endpoint)
    assert refused(SeamHttpUnauthorizedError, stranger.devices.list).request_id
    unknown = refused(SeamHttpApiError, lambda: seam.devices.get(device_id=NOBODY))
    assert (unknown.status_code, unknown.code) == (404, "device_not_found")
    wrong = refused(SeamHttpInvalidInputError, lambda: seam.client.post("/devices/list", json={"device_ids": 4242}))
    assert wrong.get_validation_error_messages("device_ids")


@check("a paginator walks over every device once")
def _():
    pages = seam.create_paginator(seam.devices.list, {"limit": 2})
    first, info = pages.first_page()
    assert len(first) == 2 and info.has_next_page
    assert [d.device_id for d in pages.flatten()] == [d.device_id for d in devices]


@check("many at once are answered as one is")
def _():
    async def ask():
        async with AsyncSeam(api_key=api_key, endpoint=endpoint) as many:
            return await asyncio.gather(*[many.devices.list() for _ in range(8)])

    wanted = [d.device_id for d in devices]
    assert all([d.device_id for d in answer] == wanted for answer in asyncio.run(ask()))


@check("notes stay with a device, and null takes them out")
def _():
    note = uuid.uuid4().hex
    seam.devices.update(device_id=lock.device_id, custom_metadata={"unit": note})
    assert [d.device_id for d in seam.devices.list(custom_metadata_has={"unit": note})] == [lock.device_id]
    seam.devices.update(device_id=lock.device_id, custom_metadata={"unit": NULL})
    assert seam.devices.list(custom_metadata_has={"unit": note}) == []


@check("a door is unlocked and locked, and each is told once with its attempt")
def _():
    for operate, locked, event_type in [
        (seam.locks.unlock_door, False, "lock.unlocked"),
        (seam.locks.lock_door, True, "lock.locked"),
    ]:
        since = a_moment_ago()
        attempt = operate(device_id=lock.device_id)
        assert attempt.status == "success"
        event = told(since, event_type, lambda e: e.action_attempt_id == attempt.action_attempt_id)
        assert event.method in ("remote", "seamapi") and event.device_id == lock.device_id
        assert seam.locks.get(device_id=lock.device_id).properties.locked is locked
    pending = no_wait.locks.lock_door(device_id=lock.device_id)
    until("the end", lambda: no_wait.action_attempts.get(action_attempt_id=pending.action_attempt_id).status == "success")


@check("a code reaches the lock, and a backup takes over from it")
def _():
    now = datetime.now(timezone.utc)
    when = dict(starts_at=now.isoformat(), ends_at=(now + timedelta(days=2)).isoformat())
    door = next(d for d in devices if d.properties.supports_backup_access_code_pool)
    made = seam.access_codes.create(device_id=door.device_id, name="Guest", use_backup_access_code_pool=True, **when)
    assert made.type == "time_bound" and made.code
    get = lambda: seam.access_codes.get(access_code_id=made.access_code_id)  # noqa: E731
    until("the code is set", lambda: get().status == "set")
    until("a backup is there", lambda: get().is_backup_access_code_available)
    backup = seam.access_codes.pull_backup_access_code(access_code_id=made.access_code_id)
    assert backup.code != made.code and get().pulled_backup_access_code_id == backup.access_code_id
    for code in (made, backup):
        seam.access_codes.delete(access_code_id=code.access_code_id)


@check("a simulated noise crosses the thresholds and is told")
def _():
    sensor = seam.noise_sensors.list()[0]
    since = a_moment_ago()
    seam.noise_sensors.simulate.trigger_noise_threshold(device_id=sensor.device_id)
    event = told(since, "noise_sensor.noise_threshold_triggered", lambda e: e.device_id == sensor.device_id)
    thresholds = seam.noise_sensors.noise_thresholds.list(device_id=sensor.device_id)
    assert event.noise_threshold_id in [t.noise_threshold_id for t in thresholds]


@check("events of a time and a kind are found, and those of nobody are not")
def _():
    events = seam.events.list(since=EPOCH)
    one = events[-1]
    at = datetime.fromisoformat(one.created_at.replace("Z", "+00:00"))
    around = [(at + timedelta(seconds=s)).isoformat().replace("+00:00", "Z") for s in (-1, 1)]
    assert one.event_id in [e.event_id for e in seam.events.list(between=around, event_type=one.event_type)]
    assert seam.events.get(event_id=one.event_id).created_at == one.created_at
    assert seam.events.list(since=EPOCH, device_id=NOBODY) == []
    refused(SeamHttpInvalidInputError, lambda: seam.events.list(since="yesterday"))


print(f"# {failed} of the promises fail")
sys.exit(1 if failed else 0)
