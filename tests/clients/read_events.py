"""Reads the stream of events with httpx-sse for some seconds: URL USER PASSWORD LAST-EVENT-ID SECONDS."""

import json
import os
import sys
import threading

import httpx
from httpx_sse import connect_sse

url, user, password, last, seconds = sys.argv[1:]
# Comments come all the time, so no read is ever late.
threading.Timer(float(seconds), lambda: os._exit(0)).start()
with httpx.Client(auth=(user, password), timeout=60, trust_env=False) as client:
    headers = {"Last-Event-ID": last}
    with connect_sse(client, "GET", f"{url}/api/v1/events?types=image.*", headers=headers) as source:
        for event in source.iter_sse():
            shown = {"id": event.id, "event": event.event, "data": json.loads(event.data)}
            print(json.dumps(shown), flush=True)
