"""Verifies webhooks with Seam's own SDK: a line {"secret", "headers", "body"} in, the event's type (or the refusal) out."""

import json
import sys

from seam import SeamWebhook

for line in sys.stdin:
    posted = json.loads(line)
    try:
        event = SeamWebhook(posted["secret"]).verify(posted["body"], posted["headers"])
        print(event.event_type, flush=True)
    except Exception as refusal:  # whatever it is, the test compares it
        print(type(refusal).__name__, flush=True)
