"""Reads a board with the types that Grafana generates from its own schema, and prints what they do not keep."""

import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(read, kept, path=""):
    if isinstance(read, dict) and isinstance(kept, dict):
        for key, value in read.items():
            yield from lost(value, kept[key], f"{path}/{key}") if key in kept else [f"{path}/{key}"]
    elif isinstance(read, list) and isinstance(kept, list) and len(read) == len(kept):
        for number, (one, other) in enumerate(zip(read, kept)):
            yield from lost(one, other, f"{path}/{number}")
    elif read != kept:
        yield path


with open(sys.argv[1]) as file:
    board = json.load(file)
for path in lost(board, json.loads(JSONEncoder().encode(Dashboard.from_json(board)))):
    print(path)
