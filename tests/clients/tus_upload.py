"""Uploads a file with tuspy, over a line that may break.

Arguments: the server's address, a user's name and password, image, revision, role, the file, the size
of a chunk (0 for the whole file in one request), and "checksum" where each chunk is to be proven.
"""

import base64
import sys

from tusclient.client import TusClient


def main(server, user, password, image, revision, role, path, chunk_size, checksum=""):
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    client = TusClient(f"{server}/api/v1/uploads", headers={"Authorization": f"Basic {login}"})
    chunks = {"chunk_size": int(chunk_size)} if int(chunk_size) else {}
    uploader = client.uploader(
        path,
        metadata={"image": image, "revision": revision, "role": role, "filename": "a file.ckm"},
        retries=30,
        retry_delay=0.05,
        upload_checksum=checksum == "checksum",
        **chunks,
    )
    uploader.upload()
    # What it would be continued from, by the address that the library made of `Location`.
    assert uploader.get_offset() == uploader.get_file_size(), uploader.get_offset()
    print(f"{uploader.get_offset()} bytes at {uploader.url}")


if __name__ == "__main__":
    main(*sys.argv[1:])
