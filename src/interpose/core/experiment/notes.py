"""What a worker has seen of an experiment, on its way to the books: MessagePack over the link."""

from __future__ import annotations

from typing import Final

import msgspec

from interpose.core.experiment.requests import Kind, Requests

HOLDOUT: Final = "holdout"
"""In the place of a variant's name: those that are kept out for good. (Names of variants have an equals sign.)"""

MOST: Final = 1e15
"""The greatest value, of either sign, that is added up: sums of squares stay numbers."""


class Event(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A unit has reached a goal; `value` is 1.0 for a conversion, `at` wall clock."""

    unit: bytes
    goal: str
    kind: Kind
    value: float
    at: float


Exposure = tuple[bytes, str, float]
"""A unit, the name of what it got, and when (wall clock)."""


class Notes(msgspec.Struct, array_like=True, kw_only=True):
    """One experiment in a moment of one worker. The salt is part of the name: with another one it is another
    experiment. `shares` are those of the variants then, `most_units` is how many units are kept at most."""

    name: str
    salt: str
    shares: dict[str, float]
    most_units: int
    exposures: list[Exposure] = []
    """Each unit perhaps several times."""
    events: list[Event] = []
    requests: dict[str, Requests] = {}


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[Notes])


def encode_notes(notes: list[Notes]) -> bytes:
    """A batch, for the link."""
    return _ENCODER.encode(notes)


def decode_notes(data: bytes) -> list[Notes]:
    """What `encode_notes` made. ValueError (msgspec's is one) for anything else."""
    return _DECODER.decode(data)
