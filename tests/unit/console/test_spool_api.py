"""Files on their way, through the API: a real spool."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from tests.support.console import Console

from interpose.console.news import SpoolNews
from interpose.storage.spool import MAX_EDIT_BYTES, Spool
from interpose.storage.spool_item import State
from interpose.storage.spool_upload import Upload


def stored(spool: Spool, data: bytes = b"hello", name: str = "letter.txt") -> str:
    """The id of a file that waits to be released."""
    upload = spool.begin(client="127.0.0.1:5000", name=name)
    assert isinstance(upload, Upload)
    upload.write(data)
    return upload.finish(State.HELD, 1_790_000_000.0).id


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_files_are_listed_and_shown(console: Console) -> None:
    id = stored(console.spool)
    items = (await console.control.get("/spool")).json["items"]
    assert [(item["id"], item["state"], item["name"], item["size"]) for item in items] == [
        (id, "held", "letter.txt", 5)
    ]
    assert (await console.control.get(f"/spool/{id}")).json == items[0]
    assert (await console.control.get(f"/spool/{id[:6]}")).json == items[0]


async def test_content_is_given_whole_or_its_beginning_with_the_tag_of_all_of_it(console: Console) -> None:
    data = os.urandom(300_000)
    id = stored(console.spool, data)
    whole = await console.control.get(f"/spool/{id}/content")
    assert (whole.content, "etag" in whole.fields) == (data, False)
    assert whole.fields["content-disposition"] == f'attachment; filename="spool-{id}"'
    begin = await console.control.get(f"/spool/{id}/content?limit=1000")
    assert (begin.content, begin.fields["etag"], begin.fields["x-content-cut"]) == (
        data[:1000],
        f'"{sha256(data)}"',
        "true",
    )
    all_of_it = await console.control.get(f"/spool/{id}/content?limit=2000000")
    assert (all_of_it.content, "x-content-cut" in all_of_it.fields) == (data, False)


async def test_an_edit_needs_what_was_seen_and_a_release_binds_it(console: Console) -> None:
    id = stored(console.spool)
    path = f"/spool/{id}/content"
    assert (await console.control.put(path, b"new")).status == 428
    assert (await console.control.put(path, b"new", {"If-Match": f'"{sha256(b"other")}"'})).status == 412
    assert (await console.control.put(path, b"new", {"If-Match": f'"{sha256(b"hello")}"'})).json["edits"] == 1
    assert console.spool.preview(id).data == b"new"
    assert (await console.control.post(f"/spool/{id}/release", {"sha256": sha256(b"hello")})).status == 412
    item = (await console.control.post(f"/spool/{id}/release", {"sha256": sha256(b"new")})).json
    assert (item["state"], item["approved_sha256"], item["events"][-1]["why"]) == (
        "approved",
        sha256(b"new"),
        "released by ann",
    )


async def test_a_file_is_dropped_once(console: Console) -> None:
    id = stored(console.spool)
    assert (await console.control.post(f"/spool/{id}/drop")).json["state"] == "dropped"
    answer = await console.control.post(f"/spool/{id}/release")
    assert (answer.status, "dropped" in answer.json["errors"][0]) == (409, True)


async def test_an_edit_has_an_end(console: Console) -> None:
    id = stored(console.spool)
    pieces = [bytes(1 << 20)] * 3
    answer = await console.control.ask(
        "PUT", f"/spool/{id}/content", fields={"If-Match": f'"{sha256(b"hello")}"'}, pieces=pieces
    )
    assert answer.status == 413
    assert sum(map(len, pieces)) > MAX_EDIT_BYTES


@pytest.mark.parametrize("id", ["..", "%2e%2e", "..%2f..%2fetc", "aaaaaaaaaaaaaaaa", "A" * 16, "x", "%00", "-"])
async def test_a38_no_name_leads_out_of_the_spool(console: Console, id: str) -> None:
    stored(console.spool)
    for method, rest in (
        ("GET", ""),
        ("GET", "/content"),
        ("PUT", "/content"),
        ("POST", "/release"),
        ("POST", "/drop"),
    ):
        answer = await console.control.ask(method, f"/spool/{id}{rest}", b"", {"If-Match": '"x"'})
        assert answer.status == 404, (method, rest, answer)


async def test_a38_a_link_in_place_of_the_content_is_not_followed(console: Console, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    id = stored(console.spool)
    os.unlink(console.spool.path(id))
    os.symlink(secret, console.spool.path(id))
    for rest in ("/content", "/content?limit=10"):
        answer = await console.control.get(f"/spool/{id}{rest}")
        assert answer.status >= 400
        assert b"secret" not in answer.content.replace(str(secret).encode(), b"")


async def test_everybody_who_watches_hears_of_a_file(console: Console) -> None:
    news = SpoolNews([console.spool], console.events)
    before = stored(console.spool)
    await news.look()
    assert console.events.newest == 0
    page = await console.page("viewer")
    async with page.stream("/events") as stream:
        await stream.until("retry")
        await news.look()
        id = stored(console.spool, name="second")
        await news.look()
        await stream.until(f'"id":"{id}"')
        console.spool.drop(id)
        await news.look()
        text = await stream.until('"state":"dropped"')
    assert before not in text
