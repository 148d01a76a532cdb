"""The scripts of the manual do what they say, each in a proxy or gateway that runs in this process."""

import gzip
import hashlib
import hmac
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.scenes import judge, test_example_scripts_messages
from tests.support.example_scripts import SCRIPTS, example, field, reply, telling
from tests.support.raw_origin import RawOrigin

JSON = "application/json"


async def test_add_field() -> None:
    async with example("add_field", reply("hello"), "proxy") as world:
        answer = await world.get("/text")
        assert (answer.status, answer.body, field(answer, "X-Exchange")) == (200, b"hello", "0-1")
        assert field(world.origin.requests()[0], "X-Passed-Through") == "interpose"


async def test_block_host() -> None:
    async with example("block_host", reply("hello"), "proxy") as world:
        urls = ("http://ads.example/", "http://a.b.tracker.example/x", "/text")
        answers = [await world.get(url) for url in urls]
        assert [answer.status for answer in answers] == [403, 403, 200]
        assert b"tracker.example is blocked here." in answers[1].body
        assert field(answers[0], "Proxy-Status") == (
            'interpose; error=http_request_denied; details="ads.example is blocked here."'
        )


async def test_count() -> None:
    async with example("count", reply("hello"), "proxy") as world:
        for path in ("/text", "/json"):
            await world.get(path)
        told = await world.get("http://count.test/")
        assert (json.loads(told.body), field(told, "Content-Type")) == ({"127.0.0.1 200": 2}, JSON)


async def test_know_keys() -> None:
    table = {"name": "keys", "kind": "script", "script": str(SCRIPTS / "know_keys.py")}
    rules = [{"when": "user:backup group:machines", "action": "allow"}, {"when": "*", "action": "deny"}]
    tables = {"listener": {"authentication": ["keys"]}, "authentication": [table], "access": rules}
    async with example("add_field", reply("hello"), **tables) as world:
        assert (await world.get(X_Api_Key="wrong")).status == 401
        assert (await world.get(X_Api_Key="key")).status == 200
        assert field(world.origin.requests()[0], "X-Api-Key") is None


async def test_rewrite_json() -> None:
    def answer(request: judge.Request) -> bytes:
        if request.target == "/gzip":
            return reply(gzip.compress(b'{"a": 1}'), media_type=JSON, Content_Encoding="gzip", ETag='"a"')
        return reply("[1]", media_type=JSON) if request.target == "/list" else reply("hello")

    async with example("rewrite_json", answer) as world:
        changed = await world.get("/gzip", Range="bytes=0-3", Accept_Encoding="gzip")
        assert json.loads(changed.body) == {"a": 1, "seen_by": "interpose"}
        assert (field(changed, "Content-Encoding"), field(changed, "ETag")) == (None, None)
        assert field(changed, "Content-Length") == str(len(changed.body))
        assert field(world.origin.requests()[0], "Range") is None
        assert (await world.get("/list")).body == b"[1]"
        assert (await world.get("/text")).body == b"hello"
        assert (await world.get("/gzip", method="HEAD")).status == 200


async def test_slow_down() -> None:
    async with example("slow_down", reply("hello"), "proxy", {"host": "127.0.0.1", "delay_s": 0.2}) as world:
        began = time.monotonic()
        assert (await world.get()).body == b"hello"
        assert time.monotonic() - began > 0.2
        assert (await world.notes())["waiting"] == "slowed down by 0.2 s"
    async with example("slow_down", reply("hello"), "proxy", {"host": "other.example"}) as world:
        await world.get()
        assert "waiting" not in await world.notes()


async def test_mock_answer() -> None:
    async with example("mock_answer", reply("from the server")) as world:
        told = await world.get("/api/users/7")
        assert json.loads(told.body) == {"id": 7, "name": "User 7", "groups": ["staff"]}
        assert (await world.get("/api/users/7", method="DELETE")).body == b"from the server"
        assert (await world.get("/api/users/seven")).body == b"from the server"


async def test_sign_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNING_KEY", "k")
    async with example("sign_requests", reply()) as world:
        await world.get("/a?b", method="POST", content=b"hello", X_Signature="forged")
        [seen] = world.origin.requests()
        at = field(seen, "X-Signed-At")
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of hello
        signed = f"POST\n/a?b\n{at}\n{digest}".encode()
        assert field(seen, "X-Signature") == hmac.new(b"k", signed, hashlib.sha256).hexdigest()
        assert seen.body == b"hello"
        assert at is not None
        assert abs(int(at) - time.time()) < 60


async def test_redact() -> None:
    text = "4111 1111 1111 1111, 4111-1111-1111-1112, 5500000000000004, 12345"
    async with example("redact", reply(text)) as world:
        answer = await world.get()
        assert answer.body == b"***************1111, 4111-1111-1111-1112, ************0004, 12345"


async def test_hide_prices() -> None:
    def answer(request: judge.Request) -> bytes:
        if request.target == "/page":
            return reply("<p>shop</p>", media_type="text/html")
        return reply(gzip.compress(b'[{"name": "a", "price": 7}]'), media_type=JSON, Content_Encoding="gzip")

    async with example("hide_prices", answer) as world:
        listed, page = await world.get("/"), await world.get("/page")
        assert json.loads(gzip.decompress(listed.body)) == [{"name": "a"}]
        assert page.body == b"<p>shop</p><!-- without prices -->"


async def test_map_local(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "app.js").write_text("mine")
    (tmp_path / "secret").write_text("no")
    options = {"directory": str(tmp_path / "site"), "below": "/static/"}
    async with example("map_local", reply("from the server"), options=options) as world:
        mine = await world.get("/static/app.js")
        assert (mine.body, field(mine, "Content-Type")) == (b"mine", "text/javascript")
        for path in ("/static/other.js", "/static/", "/app.js", "/static/..%5c../secret"):
            assert (await world.get(path)).body != b"no"
        (tmp_path / "site" / "link").symlink_to(tmp_path / "secret")
        assert (await world.get("/static/link")).body == b"from the server"


async def test_record_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", str(tmp_path / "exchanges.db"))
    async with example("record_sqlite", reply("hello"), "proxy") as world:
        await world.get("/one")
        await world.get("/two")
        await world.product.logged(2)
    database = sqlite3.connect(tmp_path / "exchanges.db")
    rows = database.execute("SELECT id, host, path, status, bytes, ms >= 0 FROM exchanges").fetchall()
    database.close()
    assert rows == [("0-1", "127.0.0.1", "/one", 200, 5, 1), ("0-2", "127.0.0.1", "/two", 200, 5, 1)]
    assert not (tmp_path / "exchanges.db-wal").exists()


async def test_count_tokens() -> None:
    events = ['{"choices": [{"delta": {"role": "assistant"}}]}', '{"choices": [{"delta": {"content": "Hel"}}]}',
              '{"choices": [{"delta": {"content": "lo"}}]}', "[DONE]"]  # fmt: skip
    stream = "".join(f"data: {event}\n\n" for event in events)
    async with example("count_tokens", reply(stream, media_type="text/event-stream")) as world:
        assert (await world.get()).body == stream.encode()
        assert (await world.notes())["tokens"] == "2"


async def test_office_hours(tmp_path: Path) -> None:
    text = (SCRIPTS / "office_hours.py").read_text()
    for at, status in (("2024, 5, 6, 9", 403), ("2024, 5, 6, 19", 200), ("2024, 5, 5, 9", 200)):
        script = tmp_path / f"at{status}{at[-2:]}.py"
        script.write_text(text.replace("games.example", "127.0.0.1").replace("datetime.now()", f"datetime({at})"))
        async with example(script, reply(), "proxy") as world:
            answer = await world.get()
            assert answer.status == status
            assert (b"127.0.0.1 can be reached from 18:00 on." in answer.body) is (status == 403)


async def test_cache_bust() -> None:
    async with example("cache_bust", reply(ETag='"a"', Cache_Control="max-age=60")) as world:
        answer = await world.get(If_None_Match='"a"', Cache_Control="max-age=600")
        [seen] = world.origin.requests()
        assert (field(seen, "If-None-Match"), field(seen, "Cache-Control")) == (None, "no-cache")
        assert (field(answer, "ETag"), field(answer, "Cache-Control")) == (None, "no-store")


async def test_ab_cookie() -> None:
    async with example("ab_cookie", lambda request: reply(request.target)) as world:
        assert (await world.get(Cookie="a=b; start=new")).body == b"/start-new"
        assert (await world.get(Cookie="start=old")).body == b"/"
        assert (await world.get("/other")).body == b"/other"
        first = await world.get()
        variant = {b"/": "old", b"/start-new": "new"}[first.body]
        assert field(first, "Set-Cookie") == f"start={variant}; Path=/; Max-Age=2592000; SameSite=Lax"
        assert (await world.notes(4))["start"] == variant


async def test_retry_503(tmp_path: Path) -> None:
    quick = tmp_path / "retry_503.py"
    quick.write_text((SCRIPTS / "retry_503.py").read_text().replace("0.1, 0.4, 1.6", "0.01, 0.01"))
    answers = [reply("busy", 503), reply("busy", 503), reply("ready"), *[reply("busy", 503)] * 4]
    async with example(quick, lambda _: answers.pop(0)) as world:
        assert (await world.get()).body == b"ready"
        assert (await world.get()).status == 503
        assert (await world.get(method="POST")).status == 503
        assert answers == []


async def test_shadow() -> None:
    def second(request: judge.Request) -> bytes:
        return reply(status=404) if request.target == "/new" else reply("second")

    async with RawOrigin(telling(second)) as other:
        host, port = other.address.split(":")
        async with example("shadow", reply("first"), "proxy", {"host": host, "port": int(port)}) as world:
            assert (await world.get("/a")).body == b"first"
            assert (await world.get("/new")).body == b"first"
            assert "shadow" not in await world.notes(1)
            assert (await world.notes(2))["shadow"] == "404 instead of 200"
    async with example("shadow", reply("first"), "proxy", {"host": "127.0.0.1", "port": int(port)}) as world:
        assert (await world.get("/a")).body == b"first"
        assert "refused" in (await world.notes())["shadow"]


async def test_rename_fields() -> None:
    async with example("rename_fields", reply(X_Tenant_Id="7", X_Trace="t")) as world:
        answer = await world.get(X_Customer="7")
        [seen] = world.origin.requests()
        assert (field(seen, "X-Customer"), field(seen, "X-Tenant-Id")) == (None, "7")
        assert (field(answer, "X-Customer"), field(answer, "X-Request-Id")) == ("7", "t")
        assert (field(answer, "X-Tenant-Id"), field(answer, "X-Trace")) == (None, None)


async def test_graphql_names() -> None:
    asked = [b'{"query": "query Orders { a }"}', b'{"query": "{ a }"}', b"no json",
             b'{"query": "query A { a } mutation B { b }", "operationName": "B"}']  # fmt: skip
    async with example("graphql_names", reply()) as world:
        for content in asked:
            await world.get("/graphql", method="POST", content=content)
        notes = [(await world.notes(number))["graphql"] for number in (1, 2, 3, 4)]
        assert notes == ["query Orders", "query (no name)", "unreadable", "mutation B"]
        assert [request.body for request in world.origin.requests()] == asked


async def test_csv_to_json() -> None:
    async with example("csv_to_json", reply("name,price\r\ntea,3\r\n", media_type="text/csv")) as world:
        told = await world.get(Accept="application/json")
        assert json.loads(told.body) == [{"name": "tea", "price": "3"}]
        assert (field(told, "Content-Type"), field(told, "Vary")) == (JSON, "Accept")
        assert (await world.get(Accept="*/*")).body == b"name,price\r\ntea,3\r\n"


async def test_latency(tmp_path: Path) -> None:
    quick = tmp_path / "latency.py"
    text = (SCRIPTS / "latency.py").read_text()
    quick.write_text(text.replace("random.random()", "0.97"))  # half way between 0.2 s and 1 s: 0.6
    async with example(quick, reply()) as world:
        began = time.monotonic()
        await world.get()
        assert 0.6 <= time.monotonic() - began < 5
    scope: dict[str, object] = {}
    exec(text, scope)
    delay_s = scope["delay_s"]
    assert callable(delay_s)
    delays = [delay_s(share) for share in (0.0, 0.25, 0.5, 0.95, 0.97, 0.99, 1.0)]
    assert delays == pytest.approx([0, 0.01, 0.02, 0.2, 0.6, 1.0, 3.0])


async def test_quota() -> None:
    async with example("quota", reply(), options={"per_day": 2}) as world:
        answers = [await world.get() for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[2].body == b"2 requests a day are all there is.\n"
        assert 0 < int(field(answers[2], "Retry-After") or "") <= 86400
        assert (await world.notes(3))["filter"] == "script"


async def test_search_words() -> None:
    def answer(request: judge.Request) -> bytes:
        text = f"a page about {request.target[1:].replace('-', ' ')}".encode()
        return reply(gzip.compress(text), media_type="text/html", Content_Encoding="gzip")

    async with example("search_words", answer) as world:
        assert (await world.get("/Project-X")).status == 403
        assert (await world.notes())["word"] == "Project X"
        assert (await world.get("/project-Y")).body == b"a page about project Y"


async def test_choose_way() -> None:
    async with RawOrigin(telling(reply("parent"))) as other:
        parent = {"name": "north", "servers": [f"http://{other.address}"]}
        for way, body in (("north", b"parent"), ("direct", b"hello")):
            options = {"ways": [way]}
            async with example("choose_way", reply("hello"), "proxy", options, upstream_proxy=[parent]) as world:
                assert (await world.get()).body == body


def test_every_example_is_tested_and_short_and_says_how_to_run_it() -> None:
    files = list(SCRIPTS.glob("*.py"))
    assert len(files) >= 20
    tests = {*globals(), *vars(test_example_scripts_messages)}
    assert {f"test_{file.stem}" for file in files} <= tests
    for file in files:
        text = file.read_text()
        assert text.count("\n") <= 40, file
        said = text.split('"""')[1]
        assert "interpose " in said or "[[" in said, file


def test_every_example_has_right_types() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", str(SCRIPTS)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert checked.returncode == 0, checked.stdout
