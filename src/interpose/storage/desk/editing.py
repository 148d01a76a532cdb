"""A held message as a person sees it, and what is sent after the person has changed it.

Whoever edits sees content with its coding undone, as text where it is text; what comes back is coded again as
Content-Encoding says then. What nobody changed stays as it is, octet for octet: an edit whose fields, whose text are
the ones that were shown leaves fields and content alone, since no coder makes what another one made.

Content is shown as text only when it is: every octet read in its charset, no control characters among them, small
enough, and the same octets when it is written back. All else is shown as octets. Nothing is rendered here.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from interpose.core.failure import Failure
from interpose.core.fields import HOP_BY_HOP, field_line
from interpose.core.hold import Content, HeldMessage, What
from interpose.core.record import field_pairs
from interpose.protocol.content_coding import CodingError, Decoder, coding_of, encoded
from interpose.protocol.target import parse_target
from interpose.storage.desk.kept import first_value, media_type, section_of, values

MAX_TEXT_BYTES = 2 << 20
MAX_HEX_BYTES = 1 << 18

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_REASON = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,200}")
_CHARSET = re.compile(rb'(?i);[ \t]*charset=[ \t]*"?([A-Za-z0-9._:+-]{1,40})"?')
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_TEXTUAL = re.compile(
    r"(?:text|multipart|message)/.*|.*[/+](?:json|xml)|"
    r"application/(?:(?:x-)?(?:javascript|yaml|www-form-urlencoded|ndjson)|graphql|sql|toml|jwt)"
)
_UNSAID = ("", "application/octet-stream", "binary/octet-stream")
_NO_CONTENT = (204, 304)

# Encodings in which octets are characters: Python has others, in which text may be a program for the decoder.
CHARSETS = frozenset(
    (
        *("utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "koi8-r", "koi8-u"),
        *(f"iso8859-{part}" for part in range(1, 17) if part != 12),
        *(f"cp{page}" for page in range(1250, 1259)),
        *("gb18030", "gbk", "gb2312", "big5", "big5hkscs", "shift_jis", "cp932", "euc_jp", "euc_kr"),
    )
)


class NotEditable(ValueError):
    """An edit that cannot be made of this message. The text is one sentence."""


class EditedMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody made of a message; what is absent stays as it is. Content is given decoded, as text or base64."""

    method: str | None = None
    url: str | None = None
    status: int | None = None
    reason: str | None = None
    fields: list[tuple[str, str]] | None = None
    text: str | None = None
    base64: str | None = None


class Shown(NamedTuple):
    """Content as it is shown. `octets`: all of it, its coding undone; None when that is too much or was not possible.

    `begin`: the first of what there is to see as octets. `why_not`: a sentence when it cannot be edited.
    """

    kind: str
    text: str | None
    octets: bytes | None
    begin: bytes
    coding: str
    charset: str
    why_not: str = ""


Read = Callable[[], Iterable[bytes]]
"""The octets of a message's content as they are stored, from the first on each time."""


def shown(message: HeldMessage, read: Read) -> Shown:
    """The content of `message`; no more of it is read than can be shown."""
    charset = charset_of(message)
    coding = ""
    try:
        coding = coding_of(values(message.fields, b"content-encoding"))
        octets, begin = _bounded(_undone(read(), coding) if coding else read(), MAX_TEXT_BYTES)
    except CodingError as error:
        _, begin = _bounded(read(), MAX_HEX_BYTES)
        return Shown("hex", None, None, begin[:MAX_HEX_BYTES], coding, charset, str(error))
    if octets is None:
        why = f"The content is longer than {MAX_TEXT_BYTES >> 20} MiB, the most that can be edited here."
        return Shown("file", None, None, begin[:MAX_HEX_BYTES], coding, charset, why)
    text = text_of(octets, charset) if _may_be_text(message) else None
    if text is not None:
        return Shown(_kind(media_type(message)), text, octets, begin[:MAX_HEX_BYTES], coding, charset)
    if len(octets) > MAX_HEX_BYTES:
        why = (
            f"The content is no text and longer than {MAX_HEX_BYTES >> 10} KiB, the most that can be edited as octets."
        )
        return Shown("file", None, octets, begin[:MAX_HEX_BYTES], coding, charset, why)
    return Shown("hex", None, octets, begin, coding, charset)


def _undone(pieces: Iterable[bytes], coding: str) -> Iterator[bytes]:
    decoder = Decoder(coding)
    for piece in pieces:
        yield from decoder.decode(piece)
    decoder.finish()


def _bounded(pieces: Iterable[bytes], most: int) -> tuple[bytes | None, bytes]:
    """All octets when they are no more than `most`, else None; and as many of the first ones as were read."""
    taken: list[bytes] = []
    size = 0
    for piece in pieces:
        taken.append(piece)
        size += len(piece)
        if size > most:
            return None, b"".join(taken)
    whole = b"".join(taken)
    return whole, whole


def charset_of(message: HeldMessage) -> str:
    """The charset that Content-Type says, by its plain name; UTF-8 where it says none, "" for one that is not known."""
    value = first_value(message.fields, b"content-type") or b""
    match = _CHARSET.search(value)
    if match is None:
        return "utf-8"
    try:
        name = codecs.lookup(match[1].decode("ascii")).name
    except LookupError:
        return ""
    return name if name in CHARSETS else ""


def text_of(octets: bytes, charset: str) -> str | None:
    """The text that these octets are, and that becomes the same octets again; None where there is no such text."""
    if not charset:
        return None
    try:
        text = octets.decode(charset)
        return text if _CONTROL.search(text) is None and text.encode(charset) == octets else None
    except UnicodeError:
        return None


def _may_be_text(message: HeldMessage) -> bool:
    """Whether its type is one of text, or none is said. Of others no octets are taken for text, however they look."""
    said = media_type(message)
    return said in _UNSAID or _TEXTUAL.fullmatch(said) is not None


def _kind(said: str) -> str:
    if said.endswith(("/json", "+json")):
        return "json"
    return "form" if said == "application/x-www-form-urlencoded" else "text"


def edited(message: HeldMessage, change: EditedMessage, read: Read) -> HeldMessage:
    """`message` as `change` has it; content that was changed is in memory. Raises NotEditable."""
    after = msgspec.structs.replace(
        message,
        method=_method(message, change.method),
        target=_target(message, change),
        status=_status(message, change.status),
        reason=_reason(message, change.reason),
        fields=_fields(message, change.fields),
    )
    if change.text is None and change.base64 is None:
        return _possible(after)
    return _possible(msgspec.structs.replace(after, content=_content(message, after, change, read)))


def _possible(message: HeldMessage) -> HeldMessage:
    if message.what is What.RESPONSE and message.status in _NO_CONTENT and message.content.size > 0:
        raise NotEditable(
            f"An answer with status {message.status} has no content; take it away, or choose another status."
        )
    return message


def _method(message: HeldMessage, method: str | None) -> str:
    if method is None or method == message.method:
        return message.method
    _only(message, What.REQUEST, "method")
    if _METHOD.fullmatch(method) is None:
        raise NotEditable(f"{method[:40]!r} is not a method; use up to 32 letters, digits and !#$%&'*+-.^_`|~.")
    return method


def _target(message: HeldMessage, change: EditedMessage) -> str:
    if change.url is None or change.url == message.target:
        return message.target
    _only(message, What.REQUEST, "URL")
    try:
        target = parse_target(change.method or message.method, change.url.encode("ascii"), False)
    except Failure as failure:
        raise NotEditable(failure.detail) from None
    except UnicodeError:
        raise NotEditable("The URL has characters beyond ASCII; write them with % and digits.") from None
    if not target.authority.host:
        raise NotEditable(f"{change.url[:100]!r} is not a whole URL; begin it with http:// or https:// and the host.")
    return str(target)


def _status(message: HeldMessage, status: int | None) -> int:
    if status is None or status == message.status:
        return message.status
    _only(message, What.RESPONSE, "status")
    if not 200 <= status <= 599:
        raise NotEditable(f"{status} cannot be the status of an answer; use 200 to 599.")
    return status


def _reason(message: HeldMessage, reason: str | None) -> str:
    if reason is None or reason == message.reason:
        return message.reason
    _only(message, What.RESPONSE, "reason")
    if _REASON.fullmatch(reason) is None:
        raise NotEditable("The reason may have up to 200 characters of Latin-1, and no control characters.")
    return reason


def _only(message: HeldMessage, what: What, part: str) -> None:
    if message.what is not what:
        raise NotEditable(f"A {message.what} has no {part}.")


def pairs_of(section: bytes) -> list[tuple[str, str]]:
    """Name and value of each field, as text."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in field_pairs(section)]


def _fields(message: HeldMessage, pairs: list[tuple[str, str]] | None) -> bytes:
    if pairs is None or pairs == pairs_of(message.fields):
        return message.fields
    if message.what not in (What.REQUEST, What.RESPONSE):
        raise NotEditable(f"A {message.what} has no fields.")
    try:
        lines = [field_line(name, value) for name, value in pairs]
    except ValueError as error:
        raise NotEditable(f"{error}."[:500]) from None
    # How long content is and how it is framed is found out when it is sent, and connections look after themselves.
    return section_of([line for line in lines if line.key not in HOP_BY_HOP])


def _content(before: HeldMessage, after: HeldMessage, change: EditedMessage, read: Read) -> Content:
    seen = shown(before, read)
    if seen.why_not:
        raise NotEditable(seen.why_not)
    charset = charset_of(after)
    try:
        coding = coding_of(values(after.fields, b"content-encoding"))
    except CodingError as error:
        raise NotEditable(str(error)) from None
    octets = _given(change, seen, charset)
    if len(octets) > MAX_TEXT_BYTES:
        raise NotEditable(f"The content is {len(octets)} octets; the most that can be edited here is {MAX_TEXT_BYTES}.")
    if octets == seen.octets and coding == seen.coding:
        return before.content
    return Content.of(encoded(octets, coding))


def _given(change: EditedMessage, seen: Shown, charset: str) -> bytes:
    if change.text is not None and change.base64 is not None:
        raise NotEditable("Give the content as `text` or as `base64`, not as both.")
    if change.base64 is not None:
        try:
            return base64.b64decode(change.base64, validate=True)
        except binascii.Error as error:
            raise NotEditable(f"The content is not base64: {error}.") from None
    text = change.text or ""
    if not charset:
        raise NotEditable(
            "The charset in Content-Type is not one that text can be written in here; change it to utf-8."
        )
    if seen.text is not None and "\r" not in text and _ends_lines_with_crlf(seen.text):
        text = text.replace("\n", "\r\n")  # the editor of a page knows one kind of line end only
    try:
        return text.encode(charset)
    except UnicodeError as error:
        raise NotEditable(f"The text cannot be written in its charset: {error}."[:500]) from None


def _ends_lines_with_crlf(text: str) -> bool:
    return "\r\n" in text and text.count("\n") == text.count("\r\n") == text.count("\r")
