"""Leads an image through its life with the client that openapi-python-client generates.

Arguments: the server's address, a user's name and password, the .ckm file, the .ckm.index file.
"""

import base64
import sys
from io import BytesIO
from pathlib import Path

from imagedepot_client import AuthenticatedClient, Client
from imagedepot_client.api.files import get_file, put_file
from imagedepot_client.api.images import create_image, get_image
from imagedepot_client.api.promotion import get_assignment, promote
from imagedepot_client.api.revisions import create_revision, seal_revision
from imagedepot_client.api.updates import check_for_update
from imagedepot_client.models import FileRole, ImageKind, NewImage, NewPromotion, Problem
from imagedepot_client.models import RevisionState, RevisionWords
from imagedepot_client.types import File


def main(server: str, user: str, password: str, ckm: Path, index: Path) -> None:
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    administrator = AuthenticatedClient(base_url=server, token=login, prefix="Basic")

    # A refusal is a value of its own type, with the code that programs compare.
    refused = get_image.sync("win7-office", client=administrator)
    assert isinstance(refused, Problem) and refused.code == "image_not_found", refused

    new = NewImage(name="win7-office", kind=ImageKind.MEDV)
    image = create_image.sync(client=administrator, body=new)
    words = RevisionWords(notes="made by a program")
    draft = create_revision.sync(image.name, client=administrator, body=words)
    for role, path in ((FileRole.CKM, ckm), (FileRole.INDEX, index)):
        body = File(payload=BytesIO(path.read_bytes()), mime_type="application/octet-stream")
        uploaded = put_file.sync(image.name, draft.number, role, client=administrator, body=body)
        assert uploaded.size == path.stat().st_size, uploaded
    sealed = seal_revision.sync(image.name, draft.number, client=administrator)
    assert sealed.state == RevisionState.READY, sealed
    order = NewPromotion(revision=draft.number)
    promote.sync(image.name, "production", client=administrator, body=order)
    assigned = get_assignment.sync(image.name, "production", client=administrator)
    assert assigned.revision == draft.number, assigned

    # A client machine has no credentials.
    machine = Client(base_url=server)
    told = check_for_update.sync(
        client=machine, image=image.name, channel="production", client_query="pc-1"
    )
    assert told.action == "update" and told.target.revision == draft.number, told
    fetched = get_file.sync(image.name, draft.number, FileRole.CKM, client=administrator)
    assert fetched.payload.read() == ckm.read_bytes(), "other bytes than were uploaded"
    print(f"{image.name} {draft.number} is published")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(Path, sys.argv[4:6]))
