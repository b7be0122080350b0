"""Fetches a target with python-tuf: tuf_fetch.py ROOT STATE URL TARGET FILE

ROOT is the trusted root, STATE a folder that keeps what was seen, URL the tree. Writes the target into FILE and prints
its length, or the name of the error and its sentence. What failed while the depot signed is tried again for two seconds.
"""

import hashlib
import os
import sys
import time

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater, UpdaterConfig


def fetch(root, state, url, target, file):
    os.makedirs(state, exist_ok=True)
    with open(root, "rb") as trusted:
        bootstrap = trusted.read()
    updater = Updater(
        metadata_dir=state,
        metadata_base_url=url + "/tuf/",
        target_base_url=url + "/",
        target_dir=os.path.dirname(file),
        config=UpdaterConfig(prefix_targets_with_hash=False),
        bootstrap=bootstrap,
    )
    info = updater.get_targetinfo(target)
    if info is None:
        return "not listed"
    path = updater.download_target(info, file)
    with open(path, "rb") as found:
        digest = hashlib.sha256(found.read()).hexdigest()
    assert digest == info.hashes["sha256"], "python-tuf verifies it itself"
    return f"fetched {info.length}"


def main():
    until = time.monotonic() + 2
    while True:
        try:
            print(fetch(*sys.argv[1:]))
            return
        except (DownloadError, RepositoryError) as error:
            if time.monotonic() > until:
                print(f"{type(error).__name__}: {error}")
                sys.exit(1)
            time.sleep(0.2)


main()
