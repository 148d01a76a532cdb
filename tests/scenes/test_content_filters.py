"""Content filters and anonymity as clients and origins see them: raw bytes, tunnels looked into, examples, scripts."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import resource
import tomllib
import zlib
from pathlib import Path
from typing import Any

import pytest
from tests.scenes import judge
from tests.support.intercepting import Intercepting
from tests.support.product import product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import Connection, RawOrigin, answering

from interpose.config.edits import function_filter
from interpose.config.load import config_of
from interpose.config.roles import gateway_tables, proxy_tables
from interpose.filters.script.options import ScriptOptions
from interpose.filters.script.script import Script

EXAMPLES = Path(__file__).parents[2] / "examples"
LOCAL = ["127.0.0.1:0"]
PAGE = b"<!doctype html><html><head></head><body>my secret<div class=advert>buy</div></body></html>"
EDITED = b"<!doctype html><html><head></head><body>my ***!</body></html>"
EDIT = {
    "name": "pages",
    "when": "response.type:text/html",
    "replace": [{"text": "secret", "with": "***"}],
    "remove": ["div.advert"],
    "insert": [{"html": "!"}],
}


def proxy(**tables: Any) -> Any:
    return config_of({**proxy_tables(LOCAL), **tables}, name="proxy")


def get(origin: RawOrigin, path: str = "/", *fields: str, scheme: str = "http") -> bytes:
    target = f"http://{origin.address}{path}" if scheme == "http" else path
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {origin.address}", *fields, "", ""]).encode()


def page(content: bytes = PAGE, *fields: str, content_type: str = "text/html") -> bytes:
    lines = "".join(f"{field}\r\n" for field in (f"Content-Type: {content_type}", *fields))
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n{lines}\r\n".encode() + content


def field_of(response: judge.Response, name: str) -> str:
    return ", ".join(response.values(name))


# --- contents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_a_page_is_edited_and_framed_anew(coding: str) -> None:
    content = gzip.compress(PAGE) if coding else PAGE
    said = page(content, 'ETag: "1"', "Accept-Ranges: bytes", *([f"Content-Encoding: {coding}"] if coding else []))
    async with RawOrigin(answering(said)) as origin, product(proxy(edit=[EDIT])) as running:
        answer = await ask(running.address(), get(origin, "/", "Accept-Encoding: gzip"))
    assert (gzip.decompress(answer.body) if coding else answer.body) == EDITED
    assert field_of(answer, "content-length") == str(len(answer.body))
    assert field_of(answer, "etag").startswith('W/"1+e')
    assert not answer.values("accept-ranges")
    assert running.log[0]["notes"]["edited"] == "pages"


async def test_a_page_that_comes_slowly_is_edited_as_it_comes() -> None:
    cut = len(b"<!doctype html><html><head></head><body>my sec")
    go_on = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.request()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head + b"%x\r\n%b\r\n" % (cut, PAGE[:cut]))
        await go_on.wait()
        await connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(PAGE) - cut, PAGE[cut:]))

    async with (
        RawOrigin(slow) as origin,
        product(proxy(edit=[EDIT])) as running,
        RawClient(running.address()) as client,
    ):
        client.send(get(origin))
        await client.wait_for(lambda: client.received.endswith(b"my \r\n"))
        go_on.set()
        [answer] = await client.answers("GET")
    assert answer.body == EDITED


async def test_pages_in_tunnels_that_are_looked_into_are_edited_and_their_servers_told_little(tmp_path: Path) -> None:
    world = Intercepting(tmp_path)
    tables = {"edit": [EDIT], "privacy": [{}]}
    async with (
        RawOrigin(answering(page()), tls=world.origin("127.0.0.1")) as origin,
        product(world.config(tables=tables)) as running,
        RawClient(running.address()) as client,
    ):
        await client.tunnel(origin.address, world.client())
        tracking = ("User-Agent: curl/8.14.1", "X-Forwarded-For: 10.1.2.3", "Accept-Language: de-CH,fr;q=0.9")
        client.send(get(origin, "/", *tracking, "Referer: https://news.example/a?b", scheme="https"))
        [answer] = await client.answers("GET")
        assert answer.body == EDITED
        [asked] = origin.requests()
    fields = {name.lower(): value for name, value in asked.fields}
    assert fields == {
        "host": origin.address,
        "user-agent": "curl",
        "accept-language": "de",
        "referer": "https://news.example/",
        "dnt": "1",
        "sec-gpc": "1",
    }


async def test_what_is_compressed_and_cached_is_what_was_edited_and_what_was_not() -> None:
    content = PAGE + b"<p>a secret</p>" * 500
    tables = gateway_tables(["127.0.0.1:1"], LOCAL, cache="16MiB")
    tables["listener"][0]["compression"] = {"codings": ["gzip"]}
    async with RawOrigin(answering(page(content, 'ETag: "1"', "Cache-Control: public, max-age=600"))) as origin:
        tables["upstream"][0]["servers"] = [origin.address]
        tables["edit"] = [EDIT]
        async with product(config_of(tables)) as running:
            bodies = []
            for coding in ("gzip", "identity", "gzip"):
                answer = await ask(running.address(), get(origin, "/", f"Accept-Encoding: {coding}", scheme="path"))
                bodies.append(gzip.decompress(answer.body) if answer.values("content-encoding") else answer.body)
            tag = field_of(answer, "etag")
            again = await ask(running.address(), get(origin, "/", f"If-None-Match: {tag}", scheme="path"))
            part = await ask(running.address(), get(origin, "/", "Range: bytes=40-45", scheme="path"))
        assert len(origin.requests()) == 1
    assert len(set(bodies)) == 1
    assert b"secret" not in bodies[0]
    assert (again.status, field_of(again, "etag")) == (304, tag)
    assert (part.status, part.body) == (206, bodies[0][40:46])
    assert field_of(part, "content-range") == f"bytes 40-45/{len(bodies[0])}"


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = bytes(1 << 20)
    return b"".join([packer.compress(piece) for _ in range(megabytes)]) + packer.flush()


@pytest.mark.parametrize("policy", ["pass", "block"])
async def test_a29_a_bomb_passes_as_it_is_or_is_refused_and_takes_no_memory(policy: str) -> None:
    """(THREATS A29) Ten mebibytes of it would be ten gibibytes; whoever looks sees that in its first octets."""
    data = bomb(256)
    said = page(data, "Content-Encoding: gzip")
    edit = {**EDIT, "on_failure": policy}
    async with RawOrigin(answering(said)) as origin, product(proxy(edit=[edit])) as running:
        await ask(running.address(), get(origin))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with asyncio.timeout(5):
            answer = await ask(running.address(), get(origin))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if policy == "pass":
        assert (answer.status, answer.body == data) == (200, True)
        assert field_of(answer, "content-length") == str(len(data))
    else:
        assert answer.status == 403
        assert running.log[0]["notes"]["filter"] == "edit"
    assert "when its coding is undone" in running.log[0]["notes"]["not_edited"]
    assert grown < 16 * 1024


async def test_a10_a_field_and_a_query_of_an_edit_cannot_be_broken_out_of() -> None:
    """(THREATS A10)"""
    edit = {
        "set_query": ["safe={query.x}"],
        "field": [
            {"name": "X-Asked", "value": "{query.x}"},
            {"name": "X-Asked", "value": "{query.x}", "message": "response"},
        ],
    }
    async with RawOrigin(answering(page())) as origin, product(proxy(edit=[edit])) as running:
        answer = await ask(running.address(), get(origin, "/?x=a%0D%0AX-Evil:%20b%00%26c=d"))
        [asked] = origin.requests()
    assert asked.target == "/?x=a%0D%0AX-Evil:%20b%00%26c=d&safe=a%0D%0AX-Evil%3A%20b%00%26c%3Dd"
    assert [value for name, value in asked.fields if name == "X-Asked"] == ["a%0D%0AX-Evil: b%00&c=d"]
    assert field_of(answer, "x-asked") == "a%0D%0AX-Evil: b%00&c=d"
    assert not answer.values("x-evil")


# --- scripts --------------------------------------------------------------------------------------------------------

SCRIPT = """
import json
import interpose

@interpose.content(when="response.type:text/plain")
def shout(exchange, chunk):
    return chunk.upper() if chunk else b"!"

@interpose.content(when="response.type:application/json", whole=True, max_bytes=100)
async def count(exchange, content):
    return json.dumps({"n": len(json.loads(content))}).encode()

@interpose.content(when="method:POST", message="request", whole=True)
def redact(exchange, content):
    return content.replace(b"secret", b"***")

@interpose.content(when="path:/broken")
def broken(exchange, chunk):
    return 1 / 0
"""


async def test_functions_of_a_script_are_given_contents_by_chunks_or_whole(tmp_path: Path) -> None:
    file = tmp_path / "edits.py"
    file.write_text(SCRIPT)
    config = proxy(script=[{"file": str(file)}])
    answers = [
        page(gzip.compress(b"abc"), "Content-Encoding: gzip", content_type="text/plain"),
        page(b"[1, 2, 3]", content_type="application/json"),
        page(b"[" + b"1, " * 100 + b"1]", content_type="application/json"),
        page(b"x", content_type="image/png"),
        page(b"x", content_type="image/png"),
    ]

    async def each(connection: Connection) -> None:
        await connection.request()
        await connection.send(answers.pop(0))

    async with RawOrigin(each) as origin, product(config, may_log_errors=True) as running:
        one = ("Connection: close",)
        assert gzip.decompress((await ask(running.address(), get(origin, "/", *one))).body) == b"ABC!"
        assert (await ask(running.address(), get(origin, "/", *one))).body == b'{"n": 3}'
        long = await ask(running.address(), get(origin, "/", *one))
        assert len(json.loads(long.body)) == 101
        post = get(origin, "/", "Content-Length: 8", *one).replace(b"GET", b"POST") + b"a secret"
        await ask(running.address(), post)
        assert (await ask(running.address(), get(origin, "/broken", *one))).status == 500
        asked = origin.connections[3].received
    assert asked.endswith(b"\r\n\r\na ***")
    assert running.log[2]["notes"]["not_edited"] == "it is more than 100 bytes"
    assert "edits.py:19 in broken: ZeroDivisionError" in running.log[4]["notes"]["why"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@interpose.content(when='status:200', message='request')", "`status` is known when"),
        ("@interpose.content(when='nothing:x')", "nothing"),
        ("@interpose.content\nasync def more(exchange, chunk): ...", "must be `def more(exchange, content)`"),
        ("@interpose.content\ndef more(exchange): ...", "must be `def more(exchange, content)`"),
    ],
)
def test_a_mark_that_could_only_fail_is_refused(tmp_path: Path, line: str, why: str) -> None:
    file = tmp_path / "edits.py"
    file.write_text("import interpose\n" + (line if "def " in line else f"{line}\ndef more(exchange, content): ..."))
    with pytest.raises(ValueError, match=re.escape(why)):
        Script(ScriptOptions(file=str(file)), edits=function_filter)


# --- examples -------------------------------------------------------------------------------------------------------


def example(name: str, tmp_path: Path) -> dict[str, Any]:
    """The tables of an example; its listeners anywhere, its authority a new one."""
    tables = tomllib.loads((EXAMPLES / name).read_text("utf-8"))
    for listener in tables["listener"]:
        listener["address"] = "127.0.0.1:0"
    if "interception" in tables:
        tables["interception"]["dir"] = str(Intercepting(tmp_path).directory)
    return tables


async def test_the_example_of_a_filter_edits_pages_fields_and_addresses(tmp_path: Path) -> None:
    content = b'<html><head></head><body>4111 1111 1111 1234<div class="advert big">x</div></body></html>'
    tables = example("filter.toml", tmp_path)
    for edit in tables["edit"]:
        if edit["name"] == "safe search" and "google" in edit["when"]:
            edit["when"] = "host:127.0.0.1 path:/search"
    async with (
        RawOrigin(answering(page(content, "Server: origin"))) as origin,
        product(config_of(tables, base=EXAMPLES)) as running,
    ):
        answer = await ask(running.address("unread"), get(origin, "/search?q=x&utm_source=mail&safe=off"))
        [asked] = origin.requests()
    assert asked.target == "/search?q=x&safe=active"
    assert ("Prefer", "safe") in asked.fields
    assert answer.body == (
        b"<html><head><style>.sponsored { display: none }</style></head><body>**** **** **** 1234</body></html>"
    )
    assert (field_of(answer, "referrer-policy"), answer.values("server")) == ("same-origin", [])


async def test_the_example_of_an_anonymous_proxy_says_little_and_shows_it(tmp_path: Path) -> None:
    tables = example("anonymous.toml", tmp_path)
    async with (
        RawOrigin(answering(page())) as origin,
        product(config_of(tables, base=EXAMPLES)) as running,
    ):
        await ask(running.address(), get(origin, "/", "User-Agent: curl/8.14.1", "Cookie: id=7"))
        [asked] = origin.requests()
        own = f"GET /privacy.json?host=www.intranet.example HTTP/1.1\r\nHost: {running.address()}\r\n\r\n".encode()
        shown = json.loads((await ask(running.address(), own)).body)
        people = await ask(running.address(), own.replace(b".json", b""))
    assert {name: value for name, value in asked.fields if name != "Host"} == {
        "User-Agent": "curl",
        "Cookie": "id=7",
        "DNT": "1",
        "Sec-GPC": "1",
    }
    assert shown["rule"] == "our own"
    assert {"name": "X-Real-IP", "before": "", "page": "127.0.0.1", "embedded": "127.0.0.1", "is_example": False} in (
        shown["fields"]
    )
    assert b"What servers see of you" in people.body
    assert b"www.intranet.example" in people.body
