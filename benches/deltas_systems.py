"""Whole Debian systems for benches/deltas: one and the same after its upgrade, in the forms in which images are kept.

Needs root, loop devices and the tools below; the images are kept in a folder, so that a second run takes them as they are.
"""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from deltas_setup import install

TOOLS = {"debootstrap": "debootstrap", "qemu-img": "qemu-utils", "mkntfs": "ntfs-3g", "ntfs-3g": "ntfs-3g",
         "mke2fs": "e2fsprogs", "fstrim": "util-linux"}
PACKAGES = "linux-image-amd64,openssh-server,nginx,git,vim,python3,perl"
NEW_PACKAGES = ["htop", "rsync", "tmux"]
RELEASE = "bookworm"
SIZE = 2500 << 20


def pairs(folder):
    """Yields the name of each pair, the old and the new image."""
    install(TOOLS)
    folder.mkdir(parents=True, exist_ok=True)
    old, new = folder / "old.ext4", folder / "new.ext4"
    once(old, install_system)
    once(new, lambda made: upgrade(old, made))
    yield "ext4, upgraded in place", old, new
    (anew,) = again(folder, [new], "anew.ext4", written_anew)
    yield "ext4, written anew", old, anew
    yield "NTFS, changed in place", *ntfs(folder, old, new)
    yield "VHDX", *again(folder, [old, new], "vhdx", converted("vhdx"))
    yield "qcow2", *again(folder, [old, new], "qcow2", converted("qcow2"))
    packed = converted("qcow2", "-c")
    yield "qcow2 -c, upgraded in place", *again(folder, [old, new], "c.qcow2", packed)
    yield "qcow2 -c, written anew", *again(folder, [old, anew], "c.qcow2", packed)


def once(path, make):
    """Makes a file, unless it is there; it has its name only when it is complete."""
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        make(part)
        part.rename(path)


def again(folder, sources, form, make):
    """The pair of sources in another form."""
    made = [folder / f"{source.name.removesuffix('.ext4')}.{form}" for source in sources]
    for source, path in zip(sources, made):
        once(path, lambda part: make(source, part))
    return made


def converted(form, *options):
    return lambda source, made: run("qemu-img", "convert", *options, "-f", "raw", "-O", form, source, made)


def install_system(made):
    empty(made)
    run("mke2fs", "-q", "-t", "ext4", made)
    with mounted(made) as root:
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, root, repository(RELEASE))
        in_system(root, "apt-get", "clean")
        trim(root)


def upgrade(old, made):
    copied(old, made)
    with mounted(made) as root:
        security = f"{RELEASE}-security"
        sources = f"deb {repository(RELEASE)} {RELEASE} main\ndeb {repository(security)} {security} main\n"
        (root / "etc/apt/sources.list").write_text(sources)
        in_system(root, "apt-get", "update", "-qq")
        in_system(root, "apt-get", "full-upgrade", "-qq", "-y")
        in_system(root, "apt-get", "install", "-qq", "-y", "--no-install-recommends", *NEW_PACKAGES)
        in_system(root, "apt-get", "clean")
        trim(root)


def trim(root):
    """Makes holes of what is free. What was freed just now counts as free only once the file system has been written."""
    run("sync", "--file-system", root)
    run("fstrim", root)


def written_anew(source, made):
    """The same files in a file system that was made in one go."""
    empty(made)
    with mounted(source, "ro") as root:
        run("mke2fs", "-q", "-t", "ext4", "-d", root, made)


def ntfs(folder, old, new):
    """What lies in /usr of both, in an NTFS volume that is brought from the old to the new state."""
    paths = folder / "old.ntfs", folder / "new.ntfs"

    def first(made):
        empty(made)
        run("mkntfs", "--quiet", "--fast", "--force", made)
        fill(old, made)

    def second(made):
        copied(paths[0], made)
        fill(new, made)

    once(paths[0], first)
    once(paths[1], second)
    return paths


def fill(source, volume):
    install({"rsync": "rsync"})
    with mounted(source, "ro") as root, mounted(volume, "rw", "ntfs-3g") as place:
        run("rsync", "--archive", "--no-links", "--delete", f"{root}/usr/", f"{place}/usr/")


@contextmanager
def mounted(image, access="rw", kind="ext4"):
    place = image.with_name(f"{image.name}.mounted")
    place.mkdir(exist_ok=True)
    run("mount", "-t", kind, "-o", f"loop,{access}", image, place)
    try:
        yield place
    finally:
        run("umount", place)
        place.rmdir()


def in_system(root, *command):
    """Runs a command inside, which finds the names of hosts as we do."""
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    run("mount", "-t", "proc", "proc", root / "proc")
    try:
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1", LC_ALL="C")
        run("chroot", root, *command, env=quiet)
    finally:
        run("umount", root / "proc")


def repository(suite):
    """Where this machine has the suite from."""
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)|$(CODENAME)", "Created-By: Packages"],
                            check=True, capture_output=True, text=True).stdout
    found = [line.split("|")[0] for line in listed.splitlines() if line.endswith(f"|{suite}")]
    if not found:
        raise SystemExit(f"apt has no source for {suite}")
    return found[0]


def empty(path):
    with open(path, "wb") as file:
        file.truncate(SIZE)


def copied(source, made):
    run("cp", "--sparse=always", source, made)


def run(*command, **options):
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {done.stderr[-2000:]}")
