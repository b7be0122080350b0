"""The pair of images for benches/deltas, and how a command is measured.

Run with a folder, it makes old.ext4 and new.ext4 there, for the tests.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

# The tool, and the Debian package that has it.
TOOLS = {"casync": "casync", "xdelta3": "xdelta3", "bsdiff": "bsdiff", "bspatch": "bsdiff", "zstd": "zstd",
         "xz": "xz-utils", "mke2fs": "e2fsprogs", "zck": "zchunk", "zsync": "zsync", "nginx": "nginx-light",
         "openssl": "openssl"}
# Those that are left out of the table if they are missing; bita is measured if it is there (`cargo install bita`).
OPTIONAL = {"zck", "zsync", "nginx"}


def install_tools():
    os.environ["PATH"] += f":/usr/sbin:/sbin:{Path.home()}/.cargo/bin"
    install(TOOLS, OPTIONAL)


def install(tools, optional=frozenset()):
    """Installs the packages of the tools that are missing, as root on Debian; else says which they are."""
    missing = {package for tool, package in tools.items() if not shutil.which(tool)}
    if not missing:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *sorted(missing)]
        subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL)
    missing = [tool for tool in tools if tool not in optional and not shutil.which(tool)]
    if missing:
        raise SystemExit(f"please install {' '.join(missing)}")


def pair(folder):
    """Lays the network drivers and file systems of the two newest kernels into images, and returns their paths."""
    numbers = kernels()
    if len(numbers) < 2 and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        numbers = kernels()
    if len(numbers) < 2:
        raise SystemExit("apt knows no two kernels: run apt-get update")
    return [image_of(folder, number) for number in numbers[-2:]]


def kernels():
    """The numbers of the kernels that apt knows, in their order."""
    names = subprocess.run(["apt-cache", "search", "--names-only", r"^linux-image-6\.1\.0-[0-9]+-amd64$"],
                           check=True, capture_output=True, text=True).stdout
    return sorted({int(number) for number in re.findall(r"linux-image-6\.1\.0-(\d+)-amd64", names)})


def image_of(folder, number):
    place = folder / str(number)
    place.mkdir()
    subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root",
                    f"linux-image-6.1.0-{number}-amd64"], cwd=place, check=True)
    (package,) = place.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", package, place / "all"], check=True)
    (kernel,) = (place / "all/lib/modules").glob("*/kernel")
    content = place / "content"
    (content / "drivers").mkdir(parents=True)
    (kernel / "drivers/net").rename(content / "drivers/net")
    (kernel / "fs").rename(content / "fs")
    compressed = [str(path) for path in content.rglob("*.ko.xz")]
    if compressed:
        subprocess.run(["xz", "-d", *compressed], check=True)
    image = folder / f"{package.name.split('_')[1]}.ext4"
    with open(image, "wb") as file:
        file.truncate(200 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", content, image], check=True)
    shutil.rmtree(place)
    return image


class Cost:
    """The time, the CPU and the largest memory of a command."""

    def __init__(self, command, **options):
        started = time.monotonic()
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen([str(word) for word in command], **options)
        _, status, usage = os.wait4(process.pid, 0)
        self.seconds = time.monotonic() - started
        self.cpu = usage.ru_utime + usage.ru_stime
        self.memory = usage.ru_maxrss * 1024
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit code {process.returncode}")

    def cells(self):
        return f"{self.seconds:.1f} s | {self.cpu:.1f} s | {self.memory / 2**20:.0f} MiB"


def main():
    folder = Path(sys.argv[1])
    if not (folder / "new.ext4").exists():
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        old, new = pair(folder)
        old.rename(folder / "old.ext4")
        new.rename(folder / "new.ext4")


if __name__ == "__main__":
    main()
