"""`interpose send`: a file to a spool or a sink, whole and once."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interpose.cli import client_options as shared
from interpose.cli.connect import wanted_address
from interpose.cli.say import Refused, complain, printable

if TYPE_CHECKING:
    from interpose.config.client import Reach
    from interpose.core.target import Origin
    from interpose.engine.spool_delivery import Delivery
    from interpose.engine.spool_work import Meter, Threads
    from interpose.protocol.spool_frame import Stored
    from interpose.storage.spool_claim import Content

RETRY_S = 1.0
LISTEN_S = 3600.0


def send(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to send.")],
    where: Annotated[str, typer.Argument(metavar="HOST:PORT", help="A spool or a sink; also unix:path.")],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What it is called there.", show_default="the file's own")
    ] = "",
    id_: Annotated[
        str,
        typer.Option("--id", metavar="ID", help="Go on with an upload that was broken off, or ask what became of it."),
    ] = "",
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Leave as soon as it is stored there, without waiting for the answer.")
    ] = False,
    retry: Annotated[
        int, typer.Option("--retry", metavar="N", help="How often to go on after a connection that broke.")
    ] = 3,
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS, and check the server's certificate.")] = False,
    ca_file: shared.Authorities = None,
    insecure: shared.Insecure = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Send the bytes only, to any other server, and print its answer.")
    ] = False,
) -> None:
    """Send a file to a spool or a sink, and print the answer."""
    from interpose.core.target import Origin
    from interpose.storage.spool_item import is_id, new_id

    if id_ and not is_id(id_):
        raise Refused(f"--id {id_}: an id has 16 letters and digits (a-z, 2-7).")
    if not 0 <= retry <= 1000:
        raise Refused(f"--retry {retry}: it must be from 0 to 1000.")
    address = wanted_address(where)
    options = shared.reach_options("", insecure, ca_file, 10.0)
    scheme = "unix" if address.is_unix else "tls" if tls else "tcp"
    origin = Origin(scheme, address.path or address.host, address.port)
    sending = Sending(file, name or file.name, id_ or new_id(), origin, plain=plain, waits=not no_wait, tries=retry + 1)
    from interpose.config.client import reaching

    async def run() -> int:
        async with reaching(options) as reach:
            return await sending.run(reach)

    raise typer.Exit(shared.run_to_end(run()))


class Sending:
    """One file on its way."""

    def __init__(
        self, file: Path, name: str, id_: str, origin: Origin, *, plain: bool, waits: bool, tries: int
    ) -> None:
        self._file = file
        self._name = name
        self._id = id_
        self._origin = origin
        self._plain = plain
        self._waits = waits
        self._tries = tries
        self._stored: Stored | None = None

    async def run(self, reach: Reach) -> int:
        """Send it; the exit status. `Refused` says what went wrong."""
        from interpose.engine.spool_work import Threads

        threads = Threads()
        try:
            content = await threads(self._opened)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Refused(f"{self._file} cannot be read: {reason}.") from None
        try:
            return await self._try(reach, content, threads)
        finally:
            content.close()

    def _opened(self) -> Content:
        from interpose.storage.spool_claim import Content

        return Content(os.open(self._file, os.O_RDONLY | os.O_CLOEXEC))

    async def _try(self, reach: Reach, content: Content, threads: Threads) -> int:
        """Once, and as often again as connections break: what is there already is not sent again."""
        import asyncio

        from interpose.core.failure import Failure
        from interpose.engine.spool_delivery import Changed, NoAnswer, NotFramed, Rejected
        from interpose.protocol.spool_frame import FrameError

        where = str(self._origin).removeprefix("tcp://")
        for tries_left in reversed(range(self._tries)):
            is_final = False
            try:
                async with self._delivery(reach, content, threads) as delivery:
                    return await (self._plainly(delivery) if self._plain else self._framed(delivery))
            except NotFramed:
                raise Refused(f"{where} is no spool or sink; `--plain` sends to any other server.", status=1) from None
            except Changed:
                raise Refused(f"{self._file} changed while it was sent; nothing is stored there.", status=1) from None
            except Rejected as error:
                problem, is_final = f"{where} does not take it: {error}", error.is_final
            except NoAnswer as error:
                raise Refused(f"{where}: {error}.", status=1) from None
            except Failure as error:
                problem = error.detail or error.consequence.says
            except FrameError as error:
                problem = str(error)
            if self._plain or is_final or not tries_left:
                break
            complain(f"{problem} Going on in {RETRY_S:g} s.")
            await asyncio.sleep(RETRY_S)
        if self._stored is not None:
            problem += f" It is stored there all the same, as {self._id}."
        elif not self._plain:
            problem += f" To go on: interpose send --id {self._id} {self._file} {where}"
        raise Refused(problem, status=1)

    @asynccontextmanager
    async def _delivery(self, reach: Reach, content: Content, threads: Threads) -> AsyncIterator[Delivery]:
        from time import monotonic

        from interpose.core.exchange import Attempt
        from interpose.core.failure import Side
        from interpose.engine.intake import Intake
        from interpose.engine.spool_delivery import Delivery
        from interpose.protocol.spool_frame import MAX_ANSWER_BYTES

        stream = await reach.dial(self._origin, Attempt(self._origin, monotonic()), configured=True)
        intake = Intake(stream, Side.UPSTREAM, keeps=MAX_ANSWER_BYTES)
        gauge = meter().begin(printable(self._name), content.size)
        try:
            yield Delivery(intake, content, threads, gauge)
        except BaseException:
            stream.abort()
            raise
        finally:
            gauge.end()
            stream.close()

    async def _plainly(self, delivery: Delivery) -> int:
        from interpose.protocol.spool_frame import refusal_in

        answer = await delivery.plain(None)
        told(answer)
        return 0 if refusal_in(answer) is None else 1

    async def _framed(self, delivery: Delivery) -> int:
        from interpose.storage.spool_item import octets_of

        self._stored = stored = await delivery.framed(octets_of(self._id), self._name)
        if not self._waits:
            told(f"stored as {self._id} {stored.size} bytes sha256 {stored.sha256.hex()}\n".encode())
            return 0
        tell(f"Stored as {self._id}; waiting for the answer. Ctrl-C leaves, and it goes on.")
        while not await delivery.has_answer(LISTEN_S):
            pass
        answer = await delivery.answer(LISTEN_S)
        told(answer)
        return 0 if not answer.startswith((b"failed: ", b"dropped: ")) else 1


def told(answer: bytes) -> None:
    """Print what the server had to say; a terminal is shown it and does not obey it."""
    from interpose.core.printable import printable as shown

    if sys.stdout is None:
        return
    data = shown(answer, keep="\n").encode() if shared.is_terminal(sys.stdout.fileno()) else answer
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def tell(sentence: str) -> None:
    """Say something to a person at a terminal; scripts get the answer only."""
    with contextlib.suppress(ValueError):
        if sys.stderr is not None and sys.stderr.isatty():
            print(printable(sentence), file=sys.stderr, flush=True)


def meter() -> Meter:
    """A progress bar, where somebody sees it."""
    from interpose.config.progress import Bars
    from interpose.engine.spool_work import UNSEEN

    return Bars() if sys.stderr is not None and sys.stderr.isatty() else UNSEEN
