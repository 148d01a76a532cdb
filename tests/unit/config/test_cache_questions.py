"""What several workers say of their caches, as one."""

from typing import Any

import msgspec
import pytest

from interpose.config.cache_questions import LiveCaches


def row(key: str, at: float, **more: Any) -> dict[str, Any]:
    return {"cache": "main", "key": key, "stored_at": at, "bytes": 1, **more}


def caches(*answers: dict[str, Any]) -> tuple[LiveCaches, list[dict[str, Any]]]:
    asked: list[dict[str, Any]] = []

    async def ask(question: bytes) -> list[bytes]:
        assert question.startswith(b"cache ")
        asked.append(msgspec.json.decode(question.removeprefix(b"cache ")))
        return [msgspec.json.encode(answer) for answer in answers]

    return LiveCaches(ask), asked


async def test_what_several_have_is_one_row() -> None:
    one = {"stored": [row("b", 1.0), row("a", 2.0)], "last_miss": None}
    other = {"stored": [row("a", 2.0), row("a", 3.0)], "last_miss": {"seconds_ago": 1, "why": "stale"}}
    live, asked = caches(one, other)
    answer = await live.stored("*", 100)
    assert [(each["key"], each["stored_at"], each["workers"]) for each in answer["stored"]] == [
        ("a", 3.0, 1),
        ("a", 2.0, 2),
        ("b", 1.0, 1),
    ]
    assert answer["last_miss"] == {"seconds_ago": 1, "why": "stale"}
    assert asked == [{"do": "list", "pattern": "*", "limit": 100, "soft": False}]


async def test_counts_are_added_and_refusals_raised() -> None:
    live, _ = caches({"purged": 2}, {"purged": 3})
    assert await live.purge("host:a", soft=True) == {"purged": 5}
    live, _ = caches({"error": "no pattern."})
    with pytest.raises(ValueError, match="no pattern"):
        await live.shown("x")
    live, _ = caches()
    assert (await live.shown("http://a/"))["stored"] == []
