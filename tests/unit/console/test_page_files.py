"""The page's own files, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.asgi import Asgi
from tests.support.console import HOST, Console

from interpose.console.page import DIRECTORY


def reader(console: Console) -> Asgi:
    return Asgi(console.application, fields={"Host": HOST})


async def test_every_file_of_the_page_is_served_with_its_type(console: Console) -> None:
    types = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    files = [path for path in DIRECTORY.rglob("*") if path.suffix in types]
    assert len(files) > 30
    for path in files:
        answer = await reader(console).get(f"/{path.relative_to(DIRECTORY).as_posix()}")
        assert answer.status == 200
        assert answer.content == path.read_bytes()
        assert answer.fields["content-type"].partition(";")[0] == types[path.suffix]
        assert answer.fields["cache-control"] == "no-cache"
        assert answer.fields["x-content-type-options"] == "nosniff"
    index = await reader(console).get("/")
    assert index.content == (DIRECTORY / "index.html").read_bytes()


async def test_a_file_that_is_known_is_not_sent_again(console: Console) -> None:
    first = await reader(console).get("/main.js")
    tag = first.fields["etag"]
    for seen in (tag, f'"x", W/{tag}', "*"):
        answer = await reader(console).get("/main.js", {"If-None-Match": seen})
        assert (answer.status, answer.content, answer.fields["etag"]) == (304, b"", tag)
    assert (await reader(console).get("/main.js", {"If-None-Match": '"x"'})).status == 200


@pytest.mark.parametrize(
    "path",
    ["/../control.py", "/%2e%2e/control.py", "/..%2fcontrol.py", "/page", "/vendor", "/vendor/", "/vendor/README.md",
     "/vendor/htm-LICENSE", "//main.js", "/main.js/", "/MAIN.JS", "/%00", "/v1/status", "/api/v1", "/api/v1/"],
)  # fmt: skip
async def test_a38_no_path_leads_anywhere_else(console: Console, path: str) -> None:
    answer = await reader(console).get(path)
    assert answer.status in (401, 404)
    assert b"import" not in answer.content
    assert Path(DIRECTORY, "main.js").exists()  # noqa: ASYNC240
