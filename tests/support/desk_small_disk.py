"""A desk on a disk without room: `python desk_small_disk.py DIRECTORY`, with a limit on the size of files."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.desk_conformance import held, opened, request, seen

from interpose.core.failure import Failure
from interpose.core.hold import Content, Mode
from interpose.storage.desk.editing import EditedMessage

LIMIT = 256 << 10


async def main(directory: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    async with opened(directory) as office:
        stored = []
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
        refusals = []
        for number in range(60):
            what = held(request(b"%02d" % number * 20_000), mode=Mode.ACCEPT)
            try:
                await office.desk.accept(what)
            except Failure as failure:
                refusals.append((failure.kind, failure.status))
            else:
                stored.append(what)
        first = await office.review.shown(stored[0].id)
        try:
            await office.review.edit(first.id, 1, EditedMessage(text="x" * (1 << 20)), "ann")
        except OSError as error:
            print("edit:", error.strerror)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print("refused:", set(refusals))
        print("some of both:", len(stored) > 0, len(refusals) > 0)
        now = held(mode=Mode.ACCEPT)
        await office.desk.accept(now)
        stored.append(now)
    async with opened(directory) as office:
        listing = await office.review.listed("all")
        print("all there:", {hold.id for hold in listing.holds} == {what.id for what in stored})
        whole = []
        for what in stored:
            view = await office.review.drop(what.id, seen(await office.review.shown(what.id)), "ann")
            pieces = b"".join(await office.review.content(what.id))
            whole.append(view.version == 1 and Content.of(pieces) == what.message.content)
        print("all whole:", all(whole), (await office.review.audit()).sound, repr(office.local.problem))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
