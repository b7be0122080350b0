"""Sends a file with requests, which does not know how long it is.

Arguments: how (a generator, or an empty file object), the address, a user's name and password, and the file.
"""

import sys

import requests

how, url, user, password, path = sys.argv[1:]


def pieces():
    with open(path, "rb") as file:
        while piece := file.read(70_000):
            yield piece


with open("/dev/null", "rb") as nothing:
    data = pieces() if how == "generator" else nothing
    answer = requests.put(url, data=data, auth=(user, password))
print(answer.request.headers.get("Transfer-Encoding"), answer.status_code)
