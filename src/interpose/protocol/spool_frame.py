"""The framed form of the spool: how `send`, spools and sinks pass a file on so that it arrives whole, and once.

    client   opening  OFFER(id, size, SHA-256, name)      ...the content from the offset on...
    server   opening  RESUME(offset)                                                    STORED  ANSWER(text)

An opening is eight octets and a version. That of a client begins with an octet that no text begins with and holds a
CR LF, which whoever translates line ends would damage; that of a server differs, so that a server which sends back
what it gets is not taken for one that understands. Then come messages: a kind (1 octet), a length (4, the highest
first), so many octets. Content is not put into messages: its size is known.

RESUME asks for what the server has not got yet; a server that has everything already says STORED at once. STORED is
the acknowledgement: content and manifest are on the disk. ANSWER is what the last server in the row had to say, and may
take as long as somebody thinks about the file. REFUSED may stand in place of any of them.
"""

from __future__ import annotations

import enum
import hashlib
import re
import struct
from collections.abc import Callable
from typing import NamedTuple

CLIENT_OPENING = b"\x89SPOOL\r\n\x01"
SERVER_OPENING = b"\x89spool\r\n\x01"
OPENING_BYTES = len(CLIENT_OPENING)

ID_BYTES = 10
MAX_NAME_BYTES = 1024
MAX_WHY_BYTES = 4096
MAX_ANSWER_BYTES = 1 << 20
DIGEST_BYTES = hashlib.sha256().digest_size

_HEAD = struct.Struct(">BI")
_OFFER = struct.Struct(f">{ID_BYTES}sQ{DIGEST_BYTES}sH")
_OFFSET = struct.Struct(">Q")
_STORED = struct.Struct(f">Q{DIGEST_BYTES}s")
MAX_SIZE = (1 << 63) - 1


class Kind(enum.IntEnum):
    """What a message is."""

    OFFER = 1
    RESUME = 2
    STORED = 3
    ANSWER = 4
    REFUSED = 5


# For each kind the shortest and the longest payload; nothing longer is ever waited for.
_LENGTHS = {
    Kind.OFFER: (_OFFER.size, _OFFER.size + MAX_NAME_BYTES),
    Kind.RESUME: (_OFFSET.size, _OFFSET.size),
    Kind.STORED: (_STORED.size, _STORED.size),
    Kind.ANSWER: (0, MAX_ANSWER_BYTES),
    Kind.REFUSED: (1, 1 + MAX_WHY_BYTES),
}
MOST_BYTES = _HEAD.size + MAX_ANSWER_BYTES
"""The longest message there is."""


class FrameError(ValueError):
    """What came is not of this form; the text is a sentence."""


class Offer(NamedTuple):
    """A file that somebody wants to send. The name is the sender's word and nothing else."""

    id: bytes
    size: int
    sha256: bytes
    name: str


class Resume(NamedTuple):
    """The server has everything before `offset`."""

    offset: int


class Stored(NamedTuple):
    """The server has it on its disk: this many octets with this digest."""

    size: int
    sha256: bytes


class Answer(NamedTuple):
    """What the end of the row had to say."""

    text: bytes


class Refused(NamedTuple):
    """The server does not take it; `is_final` when there is no use in trying again."""

    text: str
    is_final: bool


Message = Offer | Resume | Stored | Answer | Refused


def is_framed(beginning: bytes) -> bool | None:
    """Whether a connection that begins so speaks this form; None while it may still be either."""
    if len(beginning) < OPENING_BYTES:
        return None if CLIENT_OPENING.startswith(beginning) else False
    return beginning.startswith(CLIENT_OPENING)


def encode(message: Message) -> bytes:
    """The octets of a message. Texts and names that are too long are cut at a character."""
    match message:
        case Offer(id_, size, sha256, name):
            named = cut(name, MAX_NAME_BYTES)
            kind, payload = Kind.OFFER, _OFFER.pack(id_, size, sha256, len(named)) + named
        case Resume(offset):
            kind, payload = Kind.RESUME, _OFFSET.pack(offset)
        case Stored(size, sha256):
            kind, payload = Kind.STORED, _STORED.pack(size, sha256)
        case Answer(text):
            kind, payload = Kind.ANSWER, text[:MAX_ANSWER_BYTES]
        case Refused(why, is_final):
            kind, payload = Kind.REFUSED, bytes([is_final]) + cut(why, MAX_WHY_BYTES)
    return _HEAD.pack(kind, len(payload)) + payload


def decode(data: bytes) -> tuple[Message, int] | None:
    """The message that `data` begins with and how many octets it took; None while it is not whole.

    Raises FrameError as soon as it cannot become one, whatever is still to come.
    """
    if not data:
        return None
    if data[0] not in _LENGTHS:
        raise FrameError(f"A message of kind {data[0]} is not known in version 1 of the spool's form.")
    kind = Kind(data[0])
    if len(data) < _HEAD.size:
        return None
    _, length = _HEAD.unpack_from(data)
    least, most = _LENGTHS[kind]
    if not least <= length <= most:
        raise FrameError(f"A message {kind.name} has {length} octets; from {least} to {most} are possible.")
    end = _HEAD.size + length
    if len(data) < end:
        return None
    return _DECODERS[kind](data[_HEAD.size : end]), end


def _offer(payload: bytes) -> Offer:
    id_, size, sha256, length = _OFFER.unpack_from(payload)
    name = payload[_OFFER.size :]
    if len(name) != length:
        raise FrameError(f"An offer says that its name has {length} octets, and it has {len(name)}.")
    if size > MAX_SIZE:
        raise FrameError(f"An offer is for {size} octets, which no file has.")
    try:
        return Offer(id_, size, sha256, name.decode())
    except UnicodeDecodeError:
        raise FrameError("The name in an offer is not UTF-8.") from None


def _resume(payload: bytes) -> Resume:
    return Resume(*_OFFSET.unpack(payload))


def _stored(payload: bytes) -> Stored:
    return Stored(*_STORED.unpack(payload))


def _refused(payload: bytes) -> Refused:
    if payload[0] > 1:
        raise FrameError(f"A refusal is final (1) or not (0), and this one says {payload[0]}.")
    return Refused(payload[1:].decode("utf-8", "replace"), payload[0] == 1)


_DECODERS: dict[Kind, Callable[[bytes], Message]] = {
    Kind.OFFER: _offer,
    Kind.RESUME: _resume,
    Kind.STORED: _stored,
    Kind.ANSWER: Answer,
    Kind.REFUSED: _refused,
}


def cut(text: str, limit: int) -> bytes:
    """The text in at most `limit` octets of UTF-8, with no character halved; what is no character becomes `?`."""
    data = text.encode("utf-8", "replace")
    return data if len(data) <= limit else data[:limit].decode("utf-8", "ignore").encode()


# --- the plain form's answers, lines for people that a spool can read too ----------------------------------------

_STORED_LINE = re.compile(rb"stored [^\n]{1,8192} [0-9]{1,19} bytes sha256 [0-9a-f]{64} as [a-z2-7]{16}\n")


_REFUSAL_LINE = re.compile(rb"not stored: ([^\n]{1,8192})\n")


def stored_line(name: str, size: int, sha256: str, id_: str) -> bytes:
    """What a sink answers; `name` is printable already."""
    return f"stored {name} {size} bytes sha256 {sha256} as {id_}\n".encode()


def is_stored_line(answer: bytes) -> bool:
    """Whether an answer is that of a sink: what said so speaks the framed form too."""
    return _STORED_LINE.fullmatch(answer) is not None


def refusal_line(why: str) -> bytes:
    """What a sink or a spool answers that has not stored a file."""
    return f"not stored: {why}\n".encode()


def refusal_in(answer: bytes) -> str | None:
    """Why a sink or a spool has not stored a file, when that is what an answer says."""
    match = _REFUSAL_LINE.fullmatch(answer)
    return None if match is None else match[1].decode("utf-8", "replace")
