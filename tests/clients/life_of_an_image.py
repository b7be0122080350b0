"""Leads an image through its life with the client that openapi-python-client generates.

Arguments: the server's address, a user's name and password, the .ckm file, the .ckm.index file.
"""

import base64
import sys
from io import BytesIO
from pathlib import Path

from imagedepot_client import AuthenticatedClient, Client
from imagedepot_client.api.channels import promote
from imagedepot_client.api.images import create_image
from imagedepot_client.api.revisions import create_revision, download_file, put_file, seal_revision
from imagedepot_client.api.updates import check_for_update
from imagedepot_client.models import NewImage, Promote
from imagedepot_client.types import File


def main(server: str, user: str, password: str, ckm: Path, index: Path) -> None:
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    administrator = AuthenticatedClient(base_url=server, token=login, prefix="Basic")
    image = create_image.sync(client=administrator, body=NewImage(name="win7-office", kind="medv"))
    draft = create_revision.sync(image.name, client=administrator)
    for role, path in (("ckm", ckm), ("index", index)):
        put_file.sync(
            image.name,
            draft.number,
            role,
            client=administrator,
            body=File(payload=BytesIO(path.read_bytes()), mime_type="application/octet-stream"),
        )
    sealed = seal_revision.sync(image.name, draft.number, client=administrator)
    assert sealed.state == "ready", sealed
    promote.sync(
        image.name, "production", client=administrator, body=Promote(revision=draft.number)
    )

    # A client machine has no credentials.
    machine = Client(base_url=server)
    told = check_for_update.sync(
        client=machine, image="win7-office", channel="production", client_query="pc-1"
    )
    assert told.action == "update" and told.target.revision == draft.number, told
    fetched = download_file.sync(image.name, draft.number, "ckm", client=administrator)
    assert fetched.payload.read() == ckm.read_bytes(), "other bytes than were uploaded"
    print(f"{image.name} {draft.number} is published")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(Path, sys.argv[4:6]))
