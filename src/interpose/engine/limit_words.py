"""What workers ask the supervisor about limits, and what it answers: one message for everything of a loop's turn."""

from __future__ import annotations

import msgspec

from interpose.core.limit_book import Terms, Verdict

TOPIC = "limits.ask"


class Asked(msgspec.Struct, array_like=True):
    """From one worker; `owner` is its process, and something that tells it from an earlier one of that number.

    What is said holds in the order of these fields.
    """

    owner: str
    terms: list[tuple[str, Terms, int]] = []
    """Limits that it has not asked about before, with the most keys."""
    running: list[tuple[str, str, int]] | None = None
    """All exchanges that it has under way, by limit and key, where it is not sure what the supervisor knows."""
    releases: list[tuple[str, str]] = []
    """Exchanges that have ended: limit and key."""
    flows: list[tuple[str, str, int, int]] = []
    """Limit, key, bytes that have passed since it said so last, and exchanges under way."""
    takes: list[tuple[str, str]] = []
    """Exchanges that want to begin: limit and key."""


class Told(msgspec.Struct, array_like=True):
    """The answers, in the order of the questions."""

    verdicts: list[Verdict] = []
    flows: list[tuple[bool, float]] = []
    """Whether the day's bytes are used up, and this worker's share of the bytes a second."""


encode_asked = msgspec.msgpack.Encoder().encode
decode_asked = msgspec.msgpack.Decoder(Asked).decode
encode_told = msgspec.msgpack.Encoder().encode
decode_told = msgspec.msgpack.Decoder(Told).decode
