"""Holds events against their JSON Schemas: hold_events.py SCHEMAS; an event a line in, `holds` or what is wrong with it out."""

import json
import sys

import jsonschema_rs

schemas = json.load(open(sys.argv[1]))
whole = jsonschema_rs.validator_for(schemas, validate_formats=True)
of_type = {
    name: jsonschema_rs.validator_for(schema, validate_formats=True) for name, schema in schemas["$defs"].items()
}
for line in sys.stdin:
    event = json.loads(line)
    name = event["event_type"]
    wrong = [error.message for error in of_type[name].iter_errors(event)]
    # The schema names all that such an event may carry.
    wrong += [f"{key} is in no schema" for key in event if key not in schemas["$defs"][name]["properties"]]
    if not wrong and not whole.is_valid(event):
        wrong = ["not exactly one of the types"]
    print("; ".join(wrong) or "holds", flush=True)
