"""The loads on a server, and the result of one round.

Each function does one round and returns a [`Round`]. Clients run on the same machine: every rate
includes their own cost, which is equal for both servers.
"""

import http.client
import os
import random
import re
import resource
import subprocess
import time
from dataclasses import dataclass


@dataclass
class Round:
    """`rate` in units per second, `cpu` in seconds per unit; each figure has its own unit."""

    rate: float
    cpu: float


def download(server, path, size, tls, at_once):
    """Downloads whole files with curl. Unit: GB."""
    command = ["curl", "-sS", "--fail", "-k", "--http1.1", "-o", "/dev/null", server.url(path, tls)]
    before, start = server.cpu_seconds(), time.perf_counter()
    clients = [subprocess.Popen(command) for _ in range(at_once)]
    if any(client.wait() for client in clients):
        raise SystemExit(f"a download from {server.name} failed")
    seconds, cpu = time.perf_counter() - start, server.cpu_seconds() - before
    gigabytes = at_once * size / 1e9
    return Round(gigabytes / seconds, cpu / gigabytes)


def ranges(server, path, size, requests):
    """Requests up to 500 ranges of 4 KiB each time, spread over the file, on one connection. Unit: request."""
    offsets = random.Random(1).sample(range(0, size - 4096, 65536), min(500, size // 65536))
    header = {"Range": "bytes=" + ",".join(f"{offset}-{offset + 4095}" for offset in offsets)}
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port)
    before, start = server.cpu_seconds(), time.perf_counter()
    for _ in range(requests):
        connection.request("GET", path, headers=header)
        answer = connection.getresponse()
        if answer.status != 206 or len(answer.read()) < 4096 * len(offsets):
            raise SystemExit(f"{server.name} did not answer {len(offsets)} ranges")
    seconds, cpu = time.perf_counter() - start, server.cpu_seconds() - before
    return Round(requests / seconds, cpu / requests)


def kept_alive(server, path, seconds):
    """Runs wrk with 64 connections, each asking again at once. Unit: request.

    wrk gets one thread per core: a single one saturates before either server does.
    """
    path = getattr(server, "checks", {}).get(path, path)
    before = server.cpu_seconds()
    command = ["wrk", f"-t{os.cpu_count()}", "-c64", f"-d{seconds}s", server.url(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cpu = server.cpu_seconds() - before
    if "Non-2xx" in output:
        raise SystemExit(f"{server.name} refused: {output}")
    requests = int(re.search(r"(\d+) requests in", output)[1])
    return Round(float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]), cpu / requests)


def fresh_connections(server, path, requests, clients=None):
    """Makes a TLS connection with a full handshake for each request, with two ab, because one saturates its
    core before the server does. With `clients`, each handshake has a client certificate. Unit: request."""
    path = getattr(server, "checks", {}).get(path, path)
    url = ["-E", str(clients.client), server.certified_url(path)] if clients else [server.url(path, tls=True)]
    command = ["ab", "-q", "-l", "-n", str(requests // 2), "-c", "8", *url]
    before, start = server.cpu_seconds(), time.perf_counter()
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for client in clients:
        output = client.communicate()[0]
        failed = re.search(r"Failed requests:\s+(\d+)", output)
        if client.returncode or not failed or failed[1] != "0" or "Non-2xx" in output:
            raise SystemExit(f"{server.name} refused: {output}")
    seconds, cpu = time.perf_counter() - start, server.cpu_seconds() - before
    return Round(requests / seconds, cpu / requests)


def put(server, source, size):
    """Uploads a file with curl to a draft, which is then deleted. Unit: GB."""
    revision = server.draft()
    before, start = server.cpu_seconds(), time.perf_counter()
    server.put(source, revision)
    seconds, cpu = time.perf_counter() - start, server.cpu_seconds() - before
    server.api("DELETE", f"/images/bench/revisions/{revision}")
    time.sleep(1)
    return Round(size / 1e9 / seconds, cpu / (size / 1e9))


def copy(source, target, size):
    """Runs `cp`, `sync` and `sha256sum` on the same file, on the same file system. Unit: GB.

    `sync` names the file: without a name it would wait for all writes on the machine.
    """
    start = time.perf_counter()
    command = 'cp "$0" "$1" && sync "$1" && sha256sum "$1"'
    before = children_cpu()
    subprocess.run(["sh", "-c", command, source, target], check=True, stdout=subprocess.DEVNULL)
    seconds, cpu = time.perf_counter() - start, children_cpu() - before
    target.unlink()
    time.sleep(1)
    return Round(size / 1e9 / seconds, cpu / (size / 1e9))


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
