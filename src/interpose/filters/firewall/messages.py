"""What a worker and a firewall process say to each other: MessagePack, one message a frame.

    worker   Setup                     Inspect ─────────────> Answer ────────────>  Forget
    process        Ready | Broken              Verdict                Verdict

A request that was let pass leaves its transaction in the process, under its number, for the answer; `Forget` ends one
that gets no answer to inspect. A verdict is of the message that was asked about last: a process has one at a time.
"""

from __future__ import annotations

import msgspec

from interpose.filters.firewall.reasons import Match, Scores


class Setup(msgspec.Struct, array_like=True, tag=0, frozen=True):
    """The first message: what to load. `links` are directories, by the names under which `text` has them."""

    library: str
    text: str
    links: dict[str, str]


class Inspect(msgspec.Struct, array_like=True, tag=1, frozen=True, gc=False):
    """A request. `flags` are what rules of ours know it by (`rule_text`); `fields` are its lines as on the wire."""

    number: int
    flags: str
    client: tuple[str, int]
    local: tuple[str, int]
    method: str
    target: str
    version: str
    fields: bytes
    body: bytes
    awaits_answer: bool


class Answer(msgspec.Struct, array_like=True, tag=2, frozen=True, gc=False):
    """The answer to the request `number`."""

    number: int
    status: int
    fields: bytes
    body: bytes


class Forget(msgspec.Struct, array_like=True, tag=3, frozen=True, gc=False):
    """Nothing more comes about the request `number`."""

    number: int


class Ready(msgspec.Struct, array_like=True, tag=0, frozen=True):
    """The rules are loaded, so many of them."""

    rules: int


class Broken(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """They cannot be: sentences, with file and line."""

    problems: tuple[str, ...]


class Verdict(msgspec.Struct, array_like=True, tag=2, frozen=True, gc=False):
    """What the rules say. `status` is that of a refusal, 0 for none. `is_known` is false where an answer came to a
    process that does not have its request."""

    number: int
    status: int
    is_known: bool
    inbound: Scores
    outbound: Scores
    matches: list[Match]


ToProcess = Setup | Inspect | Answer | Forget
ToWorker = Ready | Broken | Verdict

encode = msgspec.msgpack.Encoder().encode
decode_for_process = msgspec.msgpack.Decoder(ToProcess).decode
decode_for_worker = msgspec.msgpack.Decoder(ToWorker).decode
