"""A hold as the database has it, and a message as a row of its table."""

from __future__ import annotations

import enum
import sqlite3
from typing import NamedTuple

import msgspec

from interpose.core.fields import FieldLine
from interpose.core.hold import Content, HeldMessage, Mode, Settled, Verdict, What
from interpose.core.record import field_pairs
from interpose.storage.desk.contents import Damaged


class State(enum.StrEnum):
    """How far a hold has come."""

    WAITING = "waiting"
    DECIDED = "decided"
    SETTLED = "settled"


class Kept(NamedTuple):
    """One hold, without its messages. Times are seconds since 1970, None where something has not happened.

    `ours`: the desk itself has to send it. `next_try`: when it tries again. `under_way`: it had begun to, so that
    something may have arrived. `outcome`: how it ended, or why it waits again.
    """

    n: int
    id: str
    what: What
    mode: Mode
    state: State
    rule: str
    exchange: str
    listener: str
    route: str
    client: tuple[str, int]
    user: str
    at: float
    timeout_s: float
    on_timeout: Verdict
    version: int
    digest: bytes
    method: str
    target: str
    status: int
    type: str
    size: int
    verdict: Verdict | None
    by: str
    why: str
    decided: float | None
    ours: bool
    attempts: int
    next_try: float | None
    under_way: bool
    settled: float | None
    how: Settled
    outcome: str | None

    @property
    def deadline(self) -> float | None:
        """When it is decided by itself, while its client waits or the desk is to send it."""
        return self.at + self.timeout_s if self.timeout_s > 0 and self.state is State.WAITING else None


COLUMNS = (
    "n, id, what, mode, state, rule, exchange, listener, route, client_host, client_port, user, at, timeout_s, "
    "on_timeout, version, digest, method, target, status, type, size, verdict, by, why, decided, ours, attempts, "
    "next_try, under_way, settled, outcome_status, outcome"
)


def kept(row: sqlite3.Row) -> Kept:
    """The hold of a row of COLUMNS. Raises Damaged for words that no hold has."""
    try:
        return Kept(
            n=row["n"],
            id=row["id"],
            what=What(row["what"]),
            mode=Mode(row["mode"]),
            state=State(row["state"]),
            rule=row["rule"],
            exchange=row["exchange"],
            listener=row["listener"],
            route=row["route"],
            client=(row["client_host"], row["client_port"]),
            user=row["user"],
            at=row["at"],
            timeout_s=row["timeout_s"],
            on_timeout=Verdict(row["on_timeout"]),
            version=row["version"],
            digest=row["digest"],
            method=row["method"],
            target=row["target"],
            status=row["status"],
            type=row["type"],
            size=row["size"],
            verdict=Verdict(row["verdict"]) if row["verdict"] else None,
            by=row["by"],
            why=row["why"],
            decided=row["decided"],
            ours=row["ours"] != 0,
            attempts=row["attempts"],
            next_try=row["next_try"],
            under_way=row["under_way"] != 0,
            settled=row["settled"],
            how=Settled(status=row["outcome_status"], failure="" if row["outcome_status"] else row["outcome"] or ""),
            outcome=row["outcome"],
        )
    except ValueError as error:
        raise Damaged(f"The hold in row {row['n']} of the desk is damaged: {error}.") from error


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(HeldMessage)


def packed(message: HeldMessage, file: str) -> bytes:
    """The message for its row; its content by the name of its file, "" when it is in the row itself."""
    return _ENCODER.encode(with_file(message, file))


def unpacked(data: bytes) -> HeldMessage:
    """The message of a row, its content by the name of its file. Raises Damaged."""
    try:
        return _DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise Damaged(f"A message of the desk is damaged: {error}.") from error


def with_file(message: HeldMessage, file: str) -> HeldMessage:
    """The same message with its content in another file."""
    content = message.content
    if content.file == file:
        return message
    moved = Content(content.size, content.sha256, b"" if file else content.data, file)
    return msgspec.structs.replace(message, content=moved)


def media_type(message: HeldMessage) -> str:
    """The type and subtype that Content-Type says, in lower case; "" when it says none."""
    value = first_value(message.fields, b"content-type")
    return "" if value is None else value.partition(b";")[0].strip(b" \t").lower().decode("latin-1")


def first_value(section: bytes, key: bytes) -> bytes | None:
    """The value of the first field named `key` (lower case)."""
    return next((value for name, value in field_pairs(section) if name.lower() == key), None)


def values(section: bytes, key: bytes) -> list[bytes]:
    """The values of all fields named `key` (lower case)."""
    return [value for name, value in field_pairs(section) if name.lower() == key]


def section_of(lines: list[FieldLine]) -> bytes:
    """The field section of checked lines."""
    return b"".join(line.wire for line in lines)
