"""Leads an image through its life with the client that openapi-python-client generates: one file whole, one in parts.

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
from imagedepot_client.api.updates import check_for_update, check_for_updates
from imagedepot_client.api.uploads import append_to_upload, create_upload, get_upload
from imagedepot_client.models import FileRole, ImageKind, ImageToCreate, PromotionToCreate, Problem
from imagedepot_client.models import Question, RevisionState, RevisionWords, UploadToCreate
from imagedepot_client.types import UNSET, File

OCTETS = "application/octet-stream"


def octets(content: bytes) -> File:
    return File(payload=BytesIO(content), mime_type=OCTETS)


def upload_in_parts(client: AuthenticatedClient, image: str, revision: int, path: Path) -> None:
    content = path.read_bytes()
    half = len(content) // 2
    announced = UploadToCreate(
        image=image, revision=revision, role=FileRole.INDEX, size=len(content)
    )
    begun = create_upload.sync(client=client, body=announced)
    append_to_upload.sync_detailed(
        begun.id, client=client, body=octets(content[:half]), upload_offset=0, upload_complete="?0"
    )
    received = get_upload.sync(begun.id, client=client).received
    assert received == half, received
    file = append_to_upload.sync(
        begun.id,
        client=client,
        body=octets(content[half:]),
        upload_offset=half,
        upload_complete="?1",
    )
    assert file.size == len(content), file


def main(server: str, user: str, password: str, ckm: Path, index: Path) -> None:
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    administrator = AuthenticatedClient(base_url=server, token=login, prefix="Basic")

    # A refusal is a value of its own type, with the code that programs compare.
    refused = get_image.sync("win7-office", client=administrator)
    assert isinstance(refused, Problem) and refused.code == "image_not_found", refused

    new = ImageToCreate(name="win7-office", kind=ImageKind.MEDV)
    image = create_image.sync(client=administrator, body=new)
    words = RevisionWords(notes="made by a program")
    draft = create_revision.sync(image.name, client=administrator, body=words)
    uploaded = put_file.sync(
        image.name, draft.number, FileRole.CKM, client=administrator, body=octets(ckm.read_bytes())
    )
    assert uploaded.size == ckm.stat().st_size, uploaded
    upload_in_parts(administrator, image.name, draft.number, index)
    sealed = seal_revision.sync(image.name, draft.number, client=administrator)
    assert sealed.state == RevisionState.READY, sealed
    order = PromotionToCreate(revision=draft.number)
    promote.sync(image.name, "production", client=administrator, body=order)
    assigned = get_assignment.sync(image.name, "production", client=administrator)
    assert assigned.revision == draft.number, assigned

    # A client machine has no credentials.
    machine = Client(base_url=server)
    told = check_for_update.sync(
        client=machine, image=image.name, channel="production", client_query="pc-1"
    )
    assert told.action == "update" and told.target.revision == draft.number, told
    questions = [Question(image=image.name), Question(image="none")]
    some, none = check_for_updates.sync(client=machine, body=questions).items
    assert some.action == "update" and some.problem is UNSET, some
    assert none.problem.code == "image_not_found", none
    for role, path in ((FileRole.CKM, ckm), (FileRole.INDEX, index)):
        fetched = get_file.sync(image.name, draft.number, role, client=administrator)
        assert fetched.payload.read() == path.read_bytes(), "other bytes than were uploaded"
    print(f"{image.name} {draft.number} is published")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(Path, sys.argv[4:6]))
