"""Passwords hashed as Unix systems do it: SHA-crypt, `$5$` with SHA-256 and `$6$` with SHA-512 (Drepper, 2007).

Python's own `crypt` is gone with 3.13, and the system's library is not everywhere the same. The rounds are short calls
that keep the interpreter to themselves, so every few hundred of them others are let in: a thread that checks a password
must not keep an event loop waiting.
"""

from __future__ import annotations

import hashlib
import time
from typing import Final, Literal, NamedTuple

DEFAULT_ROUNDS: Final = 5000
MOST_ROUNDS: Final = 100_000
"""A check of so many takes a tenth of a second; the format would allow for ten thousand times as many."""

_ROUNDS_AT_ONCE: Final = 200
_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Triple = tuple[int, int, int]


class _Kind(NamedTuple):
    """What differs between the two: the hash, and how its octets are told off in threes when they are written.

    Each three follows from the one before: its places move round as `turn` says, and each goes one further. Where the
    hash ends, fewer are left.
    """

    hash: Literal["sha256", "sha512"]
    first: Triple
    turn: Triple
    threes: int
    rest: tuple[int, ...]


_KINDS: Final = {
    "5": _Kind("sha256", (0, 10, 20), (2, 0, 1), 10, (31, 30)),
    "6": _Kind("sha512", (0, 21, 42), (1, 2, 0), 21, (63,)),
}


def sha_crypt(kind: str, password: bytes, salt: bytes, rounds: int) -> str:
    """The last part of the entry: the hash in characters. `kind` is "5" or "6"; takes its time, for a thread."""
    form = _KINDS[kind]

    def digest(data: bytes) -> bytes:
        return hashlib.new(form.hash, data, usedforsecurity=True).digest()

    block = digest(password + salt + password)
    mixed = [password, salt, _repeated(block, len(password))]
    bits = len(password)
    while bits:
        mixed.append(block if bits & 1 else password)
        bits >>= 1
    state = digest(b"".join(mixed))
    name = _repeated(digest(password * len(password)), len(password))
    grain = _repeated(digest(salt * (16 + state[0])), len(salt))
    for number in range(rounds):
        parts = [name if number & 1 else state]
        if number % 3:
            parts.append(grain)
        if number % 7:
            parts.append(name)
        parts.append(state if number & 1 else name)
        state = digest(b"".join(parts))
        if number % _ROUNDS_AT_ONCE == 0:
            time.sleep(0)
    return _written(state, form)


def _repeated(data: bytes, length: int) -> bytes:
    return (data * (length // len(data) + 1))[:length]


def _written(state: bytes, form: _Kind) -> str:
    three, characters = form.first, []
    for _ in range(form.threes):
        characters.append(_characters([state[place] for place in three], 4))
        three = (three[form.turn[0]] + 1, three[form.turn[1]] + 1, three[form.turn[2]] + 1)
    rest = [state[place] for place in form.rest]
    characters.append(_characters([0] * (3 - len(rest)) + rest, len(rest) + 1))
    return "".join(characters)


def _characters(octets: list[int], count: int) -> str:
    """Three octets, the highest first, as characters of six bits, the lowest first."""
    value = octets[0] << 16 | octets[1] << 8 | octets[2]
    return "".join(_ALPHABET[value >> 6 * place & 63] for place in range(count))
