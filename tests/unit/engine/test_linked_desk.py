"""The desk at the other end of a link passes the tests of a desk that is here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.desk_conformance import DeskConformance, Office, opened

from interpose.core.hold import Desk
from interpose.engine.answering import Answering
from interpose.engine.calls import Calls, DirectCalls, NoOffice
from interpose.engine.linked_desk import LinkedDesk, answered


class DeskOffice(NoOffice):
    """The supervisor's side of a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def answer(self, topic: str, question: bytes) -> bytes:
        return await answered(self._desk, topic, question)


class Worker:
    """The two ends of a link without the link."""

    def __init__(self, desk: Desk) -> None:
        self._answering = Answering(DeskOffice(desk))
        self.calls = Calls(self._to_supervisor, lambda message: True)

    def _to_supervisor(self, message: Any) -> None:
        self._answering.heard(self, message)  # type: ignore[arg-type]

    def send(self, message: Any) -> None:
        self.calls.replied(message)


WAYS: dict[str, Callable[[Desk], Calls]] = {
    "linked": lambda desk: Worker(desk).calls,
    "direct": lambda desk: DirectCalls(DeskOffice(desk)),
}


@pytest.mark.parametrize("way", list(WAYS))
class TestConformance(DeskConformance):
    @pytest.fixture
    async def office(self, tmp_path: Path, way: str) -> AsyncIterator[Office]:
        async with opened(tmp_path / "desk") as office:
            office.desk = LinkedDesk(WAYS[way](office.local))
            yield office
