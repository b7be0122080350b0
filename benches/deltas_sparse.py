"""A sparse image of 64 GiB for benches/deltas: pulled, hashed, and its data pulled alone."""

import os
import shutil
import subprocess

from deltas_depot import Depot
from deltas_setup import Cost, install

SIZE, DATA, PARTS = 64 << 30, 1 << 30, 64


def measure(binary, folder):
    """Prints the times. The depot lies on a disk that compresses: it keeps zeros as it was sent them."""
    install({"mkfs.btrfs": "btrfs-progs"})
    disk, place = folder / "disk", folder / "mounted"
    place.mkdir()
    with open(disk, "wb") as file:
        file.truncate(100 << 30)
    subprocess.run(["mkfs.btrfs", "-q", disk], check=True)
    subprocess.run(["mount", "-o", "loop,compress=zstd:1", disk, place], check=True)
    try:
        compare(binary, place, *images(folder))
    finally:
        subprocess.run(["umount", place], check=True)


def images(folder):
    """The sparse image, and its data without the holes."""
    sparse, data = folder / "sparse.img", folder / "data.img"
    with open(sparse, "wb") as holes, open(data, "wb") as dense:
        holes.truncate(SIZE)
        for part in range(PARTS):
            content = os.urandom(DATA // PARTS)
            holes.seek(part * (SIZE // PARTS) + (1 << 20))
            holes.write(content)
            dense.write(content)
    return sparse, data


def compare(binary, place, sparse, data):
    with Depot(binary, place) as depot:
        depot.add(data, [".chunks"])
        alone, _, file = depot.pull()
        shutil.rmtree(file.parent)
        depot.add(sparse, [".chunks"])
        client = sparse.parent / "client"
        cost, told, file = depot.pull(to=client)
        hashing = min((Cost(["openssl", "dgst", "-sha256", sparse]) for _ in range(3)), key=lambda one: one.seconds)
        if subprocess.run(["cmp", file, sparse]).returncode != 0:
            raise SystemExit("pull made something else")
        written = file.stat().st_blocks * 512
        shutil.rmtree(client)
    print(f"Sparse image of {SIZE >> 30} GiB with {DATA >> 30} GiB of data: pulled in {cost.seconds:.1f} s with "
          f"{cost.memory / 2**20:.0f} MiB of memory; openssl dgst -sha256 of it {hashing.seconds:.1f} s, a pull of the "
          f"data alone {alone.seconds:.1f} s: {cost.seconds / (hashing.seconds + alone.seconds):.2f} of both together.")
    print(f"Fetched {told['bytes_fetched']:,} bytes, {told['bytes_fetched'] / DATA:.5f} of the data; "
          f"the file takes {written:,} bytes on the disk.")
