"""The scripts of the manual do what they say, in a proxy that runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import interpose
from interpose.config.model import Answer, Config, Listener, Log, Process, Route, Script

SCRIPTS = Path(__file__).parents[2] / "examples" / "scripts"


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    """A server that answers /json and /text."""
    config = Config(
        process=Process(pseudonym="origin"),
        log=Log(access="off"),
        listeners=(Listener(name="origin", address="127.0.0.1:0", role="gateway"),),
        routes=(
            Route(name="json", path="/json", answer=Answer(text='{"a": 1}', media_type="application/json")),
            Route(name="text", path="/", answer=Answer(text="hello")),
        ),
    )
    async with interpose.serve(config) as running:
        yield running.addresses["origin"]


async def get(script: Path, *urls: str) -> list[tuple[int, dict[str, str], str]]:
    """What a client gets for `urls` through a proxy with the script: status, fields, content."""
    config = Config(
        log=Log(access="off"),
        listeners=(Listener(name="proxy", address="127.0.0.1:0", role="proxy"),),
        scripts=(Script(file=str(script)),),
    )
    answers = []
    async with interpose.serve(config) as running:
        host, port = running.addresses["proxy"].rsplit(":", 1)
        for url in urls:
            reader, writer = await asyncio.open_connection(host, int(port))
            authority = url.split("/")[2]
            writer.write(f"GET {url} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode())
            head, _, content = (await reader.read(-1)).decode().partition("\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            status, *lines = head.split("\r\n")
            fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            answers.append((int(status.split(" ")[1]), fields, content))
    return answers


async def test_add_field(origin: str) -> None:
    [(status, fields, content)] = await get(SCRIPTS / "add_field.py", f"http://{origin}/text")
    assert (status, content) == (200, "hello")
    assert fields["x-exchange"] == "0-1"


async def test_block_host(origin: str) -> None:
    urls = ("http://ads.example/", "http://a.b.tracker.example/x", f"http://{origin}/text")
    answers = await get(SCRIPTS / "block_host.py", *urls)
    assert [status for status, _, _ in answers] == [403, 403, 200]
    assert "tracker.example is blocked here." in answers[1][2]
    assert answers[0][1]["proxy-status"] == (
        'interpose; error=http_request_denied; details="ads.example is blocked here."'
    )


async def test_rewrite_json(origin: str) -> None:
    answers = await get(SCRIPTS / "rewrite_json.py", f"http://{origin}/json", f"http://{origin}/text")
    assert json.loads(answers[0][2]) == {"a": 1, "seen_by": "interpose"}
    assert answers[0][1]["content-length"] == str(len(answers[0][2]))
    assert answers[1][2] == "hello"


async def test_slow_down(origin: str, tmp_path: Path) -> None:
    quick = tmp_path / "slow_down.py"
    quick.write_text((SCRIPTS / "slow_down.py").read_text().replace("DELAY_S = 0.5", "DELAY_S = 0.2"))
    started = asyncio.get_running_loop().time()
    [(status, _, content)] = await get(quick, f"http://{origin}/text")
    assert (status, content) == (200, "hello")
    assert asyncio.get_running_loop().time() - started > 0.2


async def test_count(origin: str) -> None:
    urls = (f"http://{origin}/text", f"http://{origin}/json", "http://count.test/")
    answers = await get(SCRIPTS / "count.py", *urls)
    assert json.loads(answers[2][2]) == {"127.0.0.1 200": 2}
    assert answers[2][1]["content-type"] == "application/json"


async def test_every_example_is_tested() -> None:
    names = {f"test_{path.stem}" for path in SCRIPTS.glob("*.py")}
    assert names
    assert names <= set(globals())
