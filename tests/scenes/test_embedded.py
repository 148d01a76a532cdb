"""Recording and holding in one process: `interpose.serve` with an office, for tests and for programs that embed it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.command import command
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose import Config, serve
from interpose.config.load import config_of
from interpose.config.office import Office
from interpose.core.query import parse
from interpose.storage.desk.review import Review
from interpose.storage.desk.store import Seen
from interpose.storage.desk.views import HoldRow

DEADLINE_S = 15


def tables(place: Path, origin: str, **more: Any) -> dict[str, Any]:
    return {
        "process": {"name": "embedded", "state_dir": str(place / "state"), "grace_s": 0.0},
        "log": {"access": "off"},
        "journal": {},
        "listener": [{"name": "web", "role": "gateway", "address": "127.0.0.1:0", "upstream": "o"}],
        "upstream": [{"name": "o", "servers": [origin]}],
        "hold": [{"name": "posts", "when": "method:POST", "timeout_s": 0.0}],
        **more,
    }


async def only(office: Office, condition: Callable[[HoldRow], bool]) -> HoldRow:
    """The only hold, once the condition holds for it."""
    assert office.desk is not None
    async with asyncio.timeout(DEADLINE_S):
        while True:
            rows = (await Review(office.desk).listed("all")).holds
            if len(rows) == 1 and condition(rows[0]):
                return rows[0]
            await asyncio.sleep(0.01)


async def release(office: Office, id: str, *, send: bool = False) -> None:
    assert office.desk is not None
    review = Review(office.desk)
    hold = await review.shown(id)
    seen = Seen(hold.version, bytes.fromhex(hold.digest))
    await (review.send if send else review.release)(id, seen, "somebody")


def post(content: bytes) -> bytes:
    return b"POST /pay HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)


async def test_what_passes_is_in_the_journal_and_what_is_held_goes_on_when_somebody_says_so(tmp_path: Path) -> None:
    async with RawOrigin(answering(OK)) as origin:
        config: Config = config_of(tables(tmp_path, origin.address))
        office = Office(config)
        async with serve(config, office=office) as running, RawClient(running.addresses["web"]) as client:
            client.send(post(b"amount=10"))
            hold = await only(office, lambda hold: hold.state == "waiting")
            assert (hold.rule, hold.client_waits) == ("posts", True)
            await release(office, hold.id)
            [answer] = await client.answers("POST")
            assert (answer.status, answer.body) == (200, b"ok")
            await only(office, lambda hold: hold.outcome == "answered with 200")
            async with asyncio.timeout(DEADLINE_S):
                while not (found := office.readers[0].find(parse("method:POST")).rows):  # noqa: ASYNC110 - a thread
                    await asyncio.sleep(0.01)
            assert [(row.target, row.status) for row in found] == [("http://shop/pay", 200)]
        assert [request.body for request in origin.requests()] == [b"amount=10"]


async def test_what_waited_at_the_end_is_sent_by_the_next_one(tmp_path: Path) -> None:
    async with RawOrigin(answering(OK)) as origin:
        config = config_of(tables(tmp_path, origin.address))
        office = Office(config)
        async with serve(config, office=office) as running:
            client = RawClient(running.addresses["web"])
            async with client:
                client.send(post(b"amount=10"))
                hold = await only(office, lambda hold: hold.state == "waiting")
        again = Office(config)
        async with serve(config, office=again):
            waiting = await only(again, lambda hold: not hold.client_waits)
            assert waiting.id == hold.id
            await release(again, hold.id, send=True)
            await only(again, lambda hold: hold.outcome == "answered with 200")
        [request] = origin.requests()
        assert (request.method, request.target, request.body) == ("POST", "/pay", b"amount=10")


async def test_check_prints_the_recorder_and_what_is_held_where_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "interpose.toml"
    file.write_text(
        '[journal]\nmax_body_bytes = 4096\n[[upstream]]\nname = "o"\nservers = ["127.0.0.1:9"]\n'
        '[[listener]]\nrole = "gateway"\naddress = "127.0.0.1:0"\nupstream = "o"\n'
        '[[hold]]\nname = "reads"\nwhen = "method:GET"\naction = "pass"\n'
        '[[hold]]\nwhen = "host:shop"\nside = "outbound"\n'
    )
    said = await command("check", str(file))
    assert said.status == 0
    lines = [line.split() for line in said.out.decode().splitlines()]
    steps = [line for line in lines if line and line[0] in ("OBSERVE", "ADMIT", "EDIT", "end")]
    assert ["OBSERVE", "recorder", "4096", "bytes", "of", "each", "body"] in steps
    held = ["EDIT", "hold", "pass", "reads", "(inbound);", "hold", "host:shop", "(outbound)"]
    assert steps[-2:] == [held, ["end", "upstream", "o"]]
