"""Text such as servers send, made on the spot: the same in every run, with words that occur as often as words do."""

from __future__ import annotations

import json
import random

_SYLLABLES = (
    "ta",
    "re",
    "lo",
    "mi",
    "con",
    "per",
    "an",
    "der",
    "st",
    "ing",
    "ver",
    "qu",
    "el",
    "pro",
    "na",
    "so",
    "tion",
)
_WORDS = 3000


def page(size: int) -> bytes:
    """A page of HTML with a long list of things to buy."""
    chance = random.Random(1)
    words = _words(chance)
    parts = ['<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Catalogue</title></head><body>\n']
    length, number = len(parts[0]), 0
    while length < size:
        number += 1
        told = " ".join([words[min(int(chance.paretovariate(0.9)) - 1, _WORDS - 1)] for _ in range(40)])
        parts.append(
            f'<article class="product" id="p{number}"><h2><a href="/products/{chance.randrange(10**6)}">'
            f"{chance.choice(words)} {chance.choice(words)}</a></h2>"
            f'<p class="price">{chance.randrange(1000)}.{chance.randrange(100):02}</p><p>{told}.</p></article>\n'
        )
        length += len(parts[-1])
    return "".join(parts).encode()[:size]


def records(size: int) -> bytes:
    """The answer of an interface: a list of records in JSON."""
    chance = random.Random(2)
    words = _words(chance)
    parts: list[str] = []
    length = 0
    while length < size:
        record = {
            "id": chance.randrange(10**9),
            "name": f"{chance.choice(words)} {chance.choice(words)}",
            "email": f"{chance.choice(words)}@{chance.choice(words)}.example",
            "active": chance.random() < 0.8,
            "score": round(chance.random() * 100, 3),
            "tags": chance.sample(words[:50], 3),
            "created": f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}T{chance.randrange(24):02}:00Z",
        }
        parts.append(json.dumps(record))
        length += len(parts[-1]) + 2
    return f"[{', '.join(parts)}]".encode()[:size]


def _words(chance: random.Random) -> list[str]:
    return [
        "".join([chance.choice(_SYLLABLES) for _ in range(chance.choice((1, 2, 2, 3, 3, 4)))]) for _ in range(_WORDS)
    ]
