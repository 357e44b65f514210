"""Prints which keys Home Assistant's MQTT integration knows in a discovery of each component that we announce, which of them it
wants, and its device classes: tests/data/home_assistant.json."""

import importlib
import json

import voluptuous as vol
from homeassistant.components.binary_sensor import BinarySensorDeviceClass
from homeassistant.components.mqtt import mixins
from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.const import __version__


def keys(schema):
    """Of a schema, or of the first of several that must all hold."""
    if isinstance(schema, vol.All):
        return keys(next(v for v in schema.validators if isinstance(v, (vol.Schema, vol.All))))
    return {str(key.schema if isinstance(key, vol.Marker) else key): isinstance(key, vol.Required) for key in schema.schema}


def component(name):
    known = keys(importlib.import_module(f"homeassistant.components.mqtt.{name}").DISCOVERY_SCHEMA)
    return {"keys": sorted(known), "required": sorted(k for k, wanted in known.items() if wanted)}


facts = {"version": __version__}
for name in "binary_sensor", "event", "lock", "sensor":
    facts[name] = component(name)
facts["binary_sensor"]["device_classes"] = sorted(BinarySensorDeviceClass)
facts["sensor"]["device_classes"] = sorted(SensorDeviceClass)
facts["device"] = sorted(keys(mixins.MQTT_ENTITY_DEVICE_INFO_SCHEMA))
facts["origin"] = sorted(keys(mixins.MQTT_ORIGIN_INFO_SCHEMA))
print(json.dumps(facts, indent=1))
