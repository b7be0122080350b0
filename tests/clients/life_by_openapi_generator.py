"""Leads an image through its life with the client that openapi-generator makes for Python: one file whole, one in parts.

Arguments: the server's address, a user's name and password, the .ckm file, the .ckm.index file.
"""

import sys
from pathlib import Path

import imagedepot as depot
from imagedepot.exceptions import NotFoundException

IMAGE = "win7-office"


def upload_in_parts(client: depot.ApiClient, revision: int, path: Path) -> None:
    content = path.read_bytes()
    half = len(content) // 2
    uploads = depot.UploadsApi(client)
    announced = depot.UploadToCreate(
        image=IMAGE, revision=revision, role=depot.FileRole.INDEX, size=len(content)
    )
    begun = uploads.create_upload(announced)
    uploads.append_to_upload(begun.id, content[:half], upload_offset=0, upload_complete="?0")
    received = uploads.get_upload(begun.id).received
    assert received == half, received
    file = uploads.append_to_upload(
        begun.id, content[half:], upload_offset=half, upload_complete="?1"
    )
    assert file.size == len(content), file


def main(server: str, user: str, password: str, ckm: Path, index: Path) -> None:
    client = depot.ApiClient(depot.Configuration(host=server, username=user, password=password))
    images, revisions = depot.ImagesApi(client), depot.RevisionsApi(client)
    try:
        images.get_image(IMAGE)
    except NotFoundException as refused:
        assert "image_not_found" in refused.body, refused
    images.create_image(depot.ImageToCreate(name=IMAGE, kind=depot.ImageKind.MEDV))
    assert images.list_images(limit=10).items[0].name == IMAGE
    revision = revisions.create_revision(IMAGE).number
    files = depot.FilesApi(client)
    file = files.put_file(IMAGE, revision, depot.FileRole.CKM, ckm.read_bytes())
    assert file.size == ckm.stat().st_size, file
    upload_in_parts(client, revision, index)
    assert revisions.seal_revision(IMAGE, revision).state == depot.RevisionState.READY
    order = depot.PromotionToCreate(revision=revision)
    depot.PromotionApi(client).promote(IMAGE, "production", order)

    # A client machine has no credentials.
    updates = depot.UpdatesApi(depot.ApiClient(depot.Configuration(host=server)))
    told = updates.check_for_update(IMAGE, channel="production", client="pc-1")
    assert told.action == depot.Action.UPDATE and told.target.revision == revision, told
    questions = [depot.Question(image=IMAGE), depot.Question(image="none")]
    some, none = updates.check_for_updates(questions).items
    assert some.action == depot.Action.UPDATE and some.problem is None, some
    assert none.problem.code == "image_not_found", none
    for role, path in ((depot.FileRole.CKM, ckm), (depot.FileRole.INDEX, index)):
        assert files.get_file(IMAGE, revision, role) == path.read_bytes(), "other bytes"
    print(f"{IMAGE} {revision} is published")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(Path, sys.argv[4:6]))
