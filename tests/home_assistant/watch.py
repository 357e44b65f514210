"""Home Assistant itself, reduced to its MQTT integration, on a broker that is given: what it makes of what is announced there.

usage: watch.py PORT, then a line of JSON for each request on stdin, and a line of JSON back:
    {"states": true}                                   -> {"entity_id": {"state": …, "attributes": {…}, "unique_id": …}, …}
    {"call": "lock.unlock", "entity_id": "lock.front"} -> {}
    {"log": true}                                      -> ["WARNING homeassistant.components.mqtt …", …] since the last time
"""

import asyncio
import json
import logging
import pathlib
import sys
import tempfile

from homeassistant import config_entries, core, loader
from homeassistant.helpers import (
    area_registry, device_registry, entity, entity_registry, issue_registry, restore_state, translation,
)
from homeassistant.setup import async_setup_component

SAID = []


class Say(logging.Handler):
    """What the integration and its templates complain about. Platforms that are not ours lack their libraries, and say so."""

    def emit(self, record):
        if record.name.startswith(("homeassistant.components.mqtt", "homeassistant.helpers.template")):
            SAID.append(self.format(record))


async def home_assistant(directory, port):
    pathlib.Path(directory, "configuration.yaml").touch()
    hass = core.HomeAssistant(directory)
    hass.config.skip_pip = True
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await hass.config_entries.async_initialize()
    loader.async_setup(hass)
    translation.async_setup(hass)
    entity.async_setup(hass)
    for registry in area_registry, device_registry, entity_registry, issue_registry:
        await registry.async_load(hass)
    await restore_state.async_load(hass)
    assert await async_setup_component(hass, "homeassistant", {})
    # What the integration asks for beside the broker: uploads of certificates, which nobody makes here.
    hass.config.components |= {"http", "file_upload"}
    entry = config_entries.ConfigEntry(
        version=1, minor_version=1, domain="mqtt", title="broker", source="user",
        data={"broker": "127.0.0.1", "port": port, "protocol": "5", "discovery": True},
    )
    await hass.config_entries.async_add(entry)
    await hass.async_start()
    return hass


def states(hass):
    registry = entity_registry.async_get(hass)
    devices = device_registry.async_get(hass)
    answer = {}
    for state in hass.states.async_all():
        known = registry.async_get(state.entity_id)
        device = known and known.device_id and devices.async_get(known.device_id)
        answer[state.entity_id] = {
            "state": state.state,
            "attributes": dict(state.attributes),
            "unique_id": known and known.unique_id,
            "device": device and device.name,
        }
    return answer


async def main(port):
    logging.getLogger().addHandler(Say(level=logging.WARNING))
    with tempfile.TemporaryDirectory() as directory:
        hass = await home_assistant(directory, port)
        print(json.dumps({"ready": True}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            request = json.loads(line)
            answer = {}
            if request.get("states"):
                answer = states(hass)
            elif request.get("log"):
                answer, SAID[:] = list(SAID), []
            elif "call" in request:
                domain, service = request["call"].split(".")
                await hass.services.async_call(domain, service, {"entity_id": request["entity_id"]}, blocking=True)
            print(json.dumps(answer, default=str), flush=True)
        await hass.async_stop(force=True)


asyncio.run(main(int(sys.argv[1])))
