"""A console in this process: an application over a real journal, desk and spool in a directory, and an instance that
only tells what it is told to tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from tests.support.asgi import Asgi

from interpose.config.live_firewall import LiveFirewall
from interpose.console.access import Access
from interpose.console.application import CONSOLE, CONTROL, application
from interpose.console.events import Events
from interpose.console.news import HoldNews
from interpose.console.overview import Overview
from interpose.console.services import Records, Services
from interpose.core.hold import HeldMessage
from interpose.core.journal import Summary
from interpose.core.record import Record, encode_records
from interpose.storage.desk.local import LocalDesk
from interpose.storage.desk.review import Review
from interpose.storage.journal.reader import Reader
from interpose.storage.journal.thread import JournalThread
from interpose.storage.spool import Spool

TOKEN = "a-token-that-nobody-can-guess-0123456789"
HOST = "127.0.0.1:8081"


class Result(NamedTuple):
    generation: int
    errors: tuple[str, ...] = ()


class ToldInstance:
    """An instance of which tests say how it stands."""

    def __init__(self) -> None:
        self.is_ready = True
        self.result = Result(2)
        self.ended = 0
        self.counters: dict[str, float] = {"requests_total": 0.0, "failures_total": 0.0, "connections": 3.0}
        self.told: dict[str, Any] = {}
        self.tables: dict[str, Any] = {"process": {"name": "web"}}
        """Of its configuration."""

    def status(self) -> dict[str, Any]:
        worker = {"number": 0, "pid": 7, "state": "serving", "restarts": 0, "counters": {"connections": 3.0}}
        listener = {"name": "proxy", "role": "proxy", "address": "127.0.0.1:8080", "url": "http://127.0.0.1:8080"}
        return {
            "name": "web", "version": "0", "uptime_s": 1.5, "listeners": [listener], "workers": [worker], "restarts": 0,
            "counters": dict(self.counters), **self.told,
        }  # fmt: skip

    def config(self) -> bytes:
        return msgspec.msgpack.encode(self.tables)

    async def reload(self) -> Result:
        return self.result

    def end(self) -> None:
        self.ended += 1


class Sent(NamedTuple):
    """What came of a replay."""

    exchange: str = "2-1"
    status: int = 201
    failure: str = ""
    detail: str = ""


class Console:
    """See the module. `control` asks on the control socket, `page()` gives a browser that was let in."""

    def __init__(self, directory: Path, desk: LocalDesk, events: Events, wall: Callable[[], float]) -> None:
        self.instance = ToldInstance()
        self.events = events
        self.thread = JournalThread(str(directory / "journal"))
        self.reader = Reader(str(directory / "journal"))
        self.desk = desk
        self.spool = Spool(str(directory / "spool"))
        self.spool.prepare()
        self.overview = Overview(self.instance.status, events, journal=self.thread, wall=wall)
        self.replayed: list[tuple[HeldMessage, Summary]] = []
        self.answer: Sent | Exception = Sent()
        self.access = Access(TOKEN, port=8081, hosts=("console.example",), instance="web")
        self.services = Services(
            instance=self.instance,
            records=Records(self.thread, self.reader, self.reader),
            replay=self.replay,
            review=Review(desk),
            spools=[self.spool],
            overview=self.overview,
            firewall=LiveFirewall(self.instance, self.reader),
            events=events,
            links=lambda: self.access.links(HOST),
        )
        self.control = Asgi(application(self.services), CONTROL, {"Interpose-Reviewer": "ann"})
        self.application = application(self.services, self.access)

    async def replay(self, message: HeldMessage, summary: Summary) -> Sent:
        await asyncio.sleep(0)
        self.replayed.append((message, summary))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def record(self, *records: Record) -> None:
        """Have these in the journal."""
        self.thread.offer(encode_records(list(records)))
        await asyncio.wrap_future(self.thread.call(lambda writer: None))

    async def page(self, role: str = "admin") -> Asgi:
        """A browser that has opened the link, and its page."""
        return await page_of(self.application, self.access, role)


async def page_of(served: Any, access: Access, role: str = "admin") -> Asgi:
    """A browser that has opened the link of `access` to what it guards, and its page."""
    browser = Asgi(served, fields={"Host": HOST})
    answer = await browser.get(access.links(HOST)[role].partition(HOST)[2])
    assert (answer.status, answer.fields["location"]) == (303, "/")
    cookie = answer.fields["set-cookie"].partition(";")[0]
    own = {"Host": HOST, "Cookie": cookie, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}
    browser = Asgi(served, CONSOLE, own)
    browser.fields["Interpose-Token"] = (await browser.get("/session")).json["token"]
    return browser


@asynccontextmanager
async def console_in(directory: Path, wall: Callable[[], float] = lambda: 1_790_000_000.0) -> AsyncIterator[Console]:
    """A console whose journal, desk and spool are below `directory`."""
    events = Events()
    news = HoldNews(events)
    desk = LocalDesk(str(directory / "desk"), changed=news.changed)
    await desk.start()
    console = Console(directory, desk, events, wall)
    try:
        yield console
    finally:
        await desk.close()
        await asyncio.to_thread(console.thread.close)
        console.reader.close()
