"""What every journal does. A journal's test module has

    class TestConformance(JournalConformance):
        @pytest.fixture
        async def journal(self) -> AsyncIterator[Journal]:
            ... yield a journal without anything in it; close it afterwards

and passes.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.support.journal_records import record

from interpose.core.journal import Found, Journal
from interpose.core.query import QueryError
from interpose.core.record import Part

PATIENCE_S = 20.0


async def found(journal: Journal, count: int, query: str = "") -> Found:
    """What is found once there are so many. (Records are written some time soon.)"""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await journal.find(query)
            if len(answer.rows) >= count:
                return answer
            await asyncio.sleep(0.01)


class JournalConformance:
    """See the module."""

    async def test_what_was_added_is_found_the_newest_first(self, journal: Journal) -> None:
        await journal.add([record(1), record(2)])
        await journal.add([record(3)])
        rows = (await found(journal, 3)).rows
        assert [row.exchange for row in rows] == ["1-3", "1-2", "1-1"]
        assert rows[0].id > rows[1].id > rows[2].id

    async def test_a_query_finds_what_matches_and_nothing_else(self, journal: Journal) -> None:
        await journal.add([record(1, status=200), record(2, status=503), record(3, status=200)])
        await found(journal, 3)
        assert [row.exchange for row in (await journal.find("status:5xx")).rows] == ["1-2"]
        assert [row.exchange for row in (await journal.find("body:ITEM -status:503")).rows] == ["1-3", "1-1"]

    async def test_a_query_that_is_none_is_an_error_at_its_place(self, journal: Journal) -> None:
        with pytest.raises(QueryError) as caught:
            await journal.find("host:a statsu:200")
        assert caught.value.position == 7

    async def test_what_is_found_comes_in_pages(self, journal: Journal) -> None:
        await journal.add([record(number) for number in range(1, 6)])
        await found(journal, 5)
        first = await journal.find(limit=2)
        assert ([row.exchange for row in first.rows], first.more) == (["1-5", "1-4"], True)
        second = await journal.find(limit=3, before=first.before)
        assert ([row.exchange for row in second.rows], second.more) == (["1-3", "1-2", "1-1"], False)

    async def test_a_record_is_what_it_was_without_contents_and_secrets(self, journal: Journal) -> None:
        await journal.add([record(1, request=Part(b"Cookie: a=b\r\nA: 1\r\n", b"hello", 500))])
        (row,) = (await found(journal, 1)).rows
        kept = await journal.get(row.id)
        assert kept is not None
        assert kept.summary == row
        assert (kept.record.request.fields, kept.record.request.content) == (b"Cookie: [redacted]\r\nA: 1\r\n", b"")
        assert (kept.record.request.size, kept.request_kept, kept.request_redacted) == (500, 5, ("cookie",))
        assert kept.record.attempts == record(1).attempts

    async def test_there_is_no_record_with_a_number_that_was_not_given(self, journal: Journal) -> None:
        assert await journal.get(1) is None
