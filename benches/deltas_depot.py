"""What a depot does with a pair of images: what it takes to make the delta, and to pull with it and by chunks."""

import json
import os
import shutil
import threading
import time
from pathlib import Path

from deltas_setup import Cost
from fleet_setup import certificate_of_a_server
from servers import PASSWORD, ClientAuthority, Imagedepot

# A full core, as a person who measures wants it; the default is half of one.
SETTINGS = "[delta]\ncpu = 1.0\n"


class Depot:
    """A server with both images as revisions 1 and 2."""

    def __init__(self, binary, folder):
        self.folder = folder / "depot"
        self.folder.mkdir()
        self.binary = binary
        certificate, key = certificate_of_a_server(self.folder)
        clients = ClientAuthority(self.folder)
        self.server = Imagedepot(binary, self.folder, certificate, key, clients, SETTINGS)
        self.api = self.server.api
        self.api("POST", "/images", {"name": "bench", "kind": "single"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()
        shutil.rmtree(self.folder)

    def add(self, file, suffixes):
        """Adds a revision. Returns the seconds until what belongs to it is published, and the server's largest memory
        meanwhile."""
        revision = self.server.draft()
        self.server.put(file, revision)
        self.api("POST", f"/images/bench/revisions/{revision}/seal")
        self.api("PUT", "/images/bench/channels/production", {"revision": revision})
        wanted = {f"bench_{revision}.img{suffix}" for suffix in suffixes}
        begin = time.monotonic()
        with Memory(self.server.process.pid) as memory:
            while not wanted <= self.published():
                if time.monotonic() > begin + 3600:
                    raise SystemExit(f"not published within an hour: {wanted}")
                time.sleep(0.5)
        return time.monotonic() - begin, memory.most

    def published(self):
        listed = self.api("GET", "/publications?limit=500")["items"]
        return {one["path"] for one in listed if one["state"] == "published"}

    def pull(self, *options, beside=None, to=None):
        """Pulls the newest revision into an empty folder, or one that has revision 1. Returns the cost, what pull says of
        it, and the file."""
        place = to or self.folder / "client"
        place.mkdir()
        if beside:
            (place / "bench_1.img").symlink_to(beside)
        command = [self.binary, "pull", "bench", "--to", place, "--output", "json", *options]
        said = self.folder / "said"
        environment = dict(os.environ, IMAGEDEPOT_URL=self.server.url(""), IMAGEDEPOT_USER="admin",
                           IMAGEDEPOT_PASSWORD=PASSWORD, IMAGEDEPOT_STATE_DIR=str(self.folder / "state"))
        with open(said, "w") as out:
            cost = Cost(command, stdout=out, env=environment)
        told = json.loads(said.read_text().splitlines()[-1])
        return cost, told, place / f"bench_{told['revision']}.img"


class Memory:
    """The largest resident memory of a process, looked at ten times a second."""

    def __init__(self, pid):
        self.pid, self.most, self.over = pid, 0, threading.Event()
        self.looking = threading.Thread(target=self.look)

    def look(self):
        while not self.over.wait(0.1):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    self.most = max(self.most, int(line.split()[1]) * 1024)

    def __enter__(self):
        self.looking.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.looking.join()
