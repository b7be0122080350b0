"""Uploads of the same file by protocols other than PUT, as their usual clients do them."""

import base64
import http.client
import socket
import subprocess
import time

from loads import Round
from servers import PASSWORD

CREDENTIALS = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()

# The largest fragment that Windows sends.
FRAGMENT = 13_000_000


def tus(server, source, size):
    """Makes a session and sends the file in one PATCH with curl. Unit: GB."""
    revision = server.draft()
    pairs = {"image": "bench", "revision": str(revision), "role": "image"}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port)

    def upload():
        headers = {"Authorization": f"Basic {CREDENTIALS}", "Tus-Resumable": "1.0.0", "Upload-Length": str(size),
                   "Upload-Metadata": metadata}
        connection.request("POST", "/api/v1/uploads", headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise SystemExit(f"the session was refused: {answer.status}")
        patch = ["-X", "PATCH", "-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Offset: 0",
                 "-H", "Content-Type: application/offset+octet-stream", "-H", "Expect:"]
        url = server.url(answer.headers["Location"].removeprefix(server.url("")))
        subprocess.run(["curl", "-sS", "--fail", "-o", "/dev/null", "-u", f"admin:{PASSWORD}", *patch, "-T", source, url],
                       check=True)

    return measured(server, upload, size, lambda: server.api("DELETE", f"/images/bench/revisions/{revision}"))


def bits(server, source, size):
    """Sends the file in a BITS session on one connection, fragment after fragment, each when the one before
    is acknowledged. Unit: GB."""

    def upload():
        with socket.create_connection(("127.0.0.1", server.http_port)) as connection, open(source, "rb") as file:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = connection.makefile("rb")

            def packet(kind, *headers, length=0):
                lines = [f"BITS_POST /MEDVImages/benchbits.ckm HTTP/1.1", "Host: localhost",
                         f"Authorization: Basic {CREDENTIALS}", f"BITS-Packet-Type: {kind}", f"Content-Length: {length}"]
                connection.sendall("\r\n".join([*lines, *headers, "", ""]).encode())
                if length:
                    connection.sendfile(file, offset, length)
                status, fields = answers.readline().split()[1], {}
                while line := answers.readline().strip():
                    name, value = line.decode().split(":", 1)
                    fields[name.lower()] = value.strip()
                if status != b"200":
                    raise SystemExit(f"{kind} was refused: {status} {fields}")
                return fields

            offset = 0
            session = packet("Create-Session", "BITS-Supported-Protocols: {7df0354d-249b-430f-820d-3d2a9bef4931}")
            header = f"BITS-Session-Id: {session['bits-session-id']}"
            while offset < size:
                length = min(FRAGMENT, size - offset)
                content_range = f"Content-Range: bytes {offset}-{offset + length - 1}/{size}"
                offset = int(packet("Fragment", header, content_range, length=length)["bits-received-content-range"])
            packet("Close-Session", header)

    def clear():
        server.api("DELETE", "/images/benchbits")

    return measured(server, upload, size, clear)


def measured(server, upload, size, clear):
    before, start = server.cpu_seconds(), time.perf_counter()
    upload()
    seconds, cpu = time.perf_counter() - start, server.cpu_seconds() - before
    clear()
    time.sleep(1)
    return Round(size / 1e9 / seconds, cpu / (size / 1e9))
