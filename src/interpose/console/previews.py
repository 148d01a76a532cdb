"""Content for reading: what it is, and how it is best shown. Everything is text; nothing here makes markup of it.

Whatever is wrong with the content, there is something to show: what is not what it says is shown as octets. Its coding
is undone as far as there is room for it, also when it was cut off; the bounds are those of `protocol.content_coding`.
"""

from __future__ import annotations

import base64
import codecs
import re
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from interpose.console import json_text, markup
from interpose.console.protobuf_text import NotProtobuf, grpc_text, protobuf_text
from interpose.core.printable import hexadecimal, printable, whole_characters
from interpose.core.record import field_pairs
from interpose.protocol.content_coding import CodingError, Decoder, coding_of
from interpose.storage.desk.editing import CHARSETS, text_of

MAX_TEXT: Final = 1 << 20
"""Characters of text, and octets from which they are made."""
MAX_HEX_BYTES: Final = 1 << 15
MAX_IMAGE_BYTES: Final = 4 << 20
MAX_ROWS: Final = 1000
MAX_PROTOBUF_BYTES: Final = 1 << 16
MAX_PART_BYTES: Final = 2000

_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_CHARSET = re.compile(r"(?i);[ \t]*charset=[ \t]*\"?([A-Za-z0-9._:+-]{1,40})\"?")
_BOUNDARY = re.compile(r"(?i);[ \t]*boundary=[ \t]*(?:\"([^\"]{1,70})\"|([^;, \t\"]{1,70}))")
_UNSAID = ("", "application/octet-stream", "binary/octet-stream", "text/plain")


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown: `text`, or `rows` of names and values, or `image`, a data: URL. `cut` when there is more."""

    kind: str
    media_type: str = ""
    coding: str = ""
    text: str | None = None
    rows: list[tuple[str, str]] | None = None
    image: str | None = None
    cut: bool = False
    problem: str = ""


def preview_of(content: bytes, section: bytes, *, is_cut: bool = False) -> Preview:
    """How to show `content`, whose fields are `section`; `is_cut`: it is only the beginning of what there was."""
    said = ", ".join(_values(section, b"content-type"))
    media_type = said.partition(";")[0].strip(" \t").lower()
    if not content:
        return Preview(kind="empty", media_type=media_type, cut=is_cut)
    try:
        coding = coding_of([value.encode("latin-1") for value in _values(section, b"content-encoding")])
        data, is_cut = _undone(content, coding, is_cut)
    except CodingError as error:
        return _octets(content, media_type, is_cut, problem=str(error))
    shown = _shown(data, said, media_type, is_cut)
    return msgspec.structs.replace(shown, media_type=media_type, coding=coding, cut=shown.cut or is_cut)


def _values(section: bytes, key: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in field_pairs(section) if name.lower() == key]


def _undone(content: bytes, coding: str, is_cut: bool) -> tuple[bytes, bool]:
    """The content without its coding, as much as is shown, and whether there is more. CodingError."""
    if not coding:
        return content, is_cut
    decoder = Decoder(coding)
    pieces: list[bytes] = []
    size = 0
    for piece in decoder.decode(content):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_IMAGE_BYTES:
            return b"".join(pieces), True
    if not is_cut:
        decoder.finish()
    return b"".join(pieces), is_cut


def _shown(data: bytes, said: str, media_type: str, is_cut: bool) -> Preview:
    image = _image(data)
    if image is not None:
        return image
    if media_type.startswith("multipart/"):
        return _multipart(data, said, is_cut)
    text = None if media_type in _BINARY else _text(data, said)
    if text is None:
        return _protobuf(data, media_type) or _octets(data, media_type, is_cut)
    cut = is_cut or len(data) > MAX_TEXT
    kind = _kind(media_type, text)
    if kind == "json" and (cut or json_text.is_json(data)):
        pretty, is_longer = json_text.indented(text, MAX_TEXT)
        return Preview(kind="json", text=pretty, cut=is_longer or cut)
    if kind in ("html", "xml"):
        pretty, is_longer = markup.indented(text, MAX_TEXT, is_html=kind == "html")
        return Preview(kind=kind, text=pretty, cut=is_longer or cut)
    if kind == "form":
        rows = _form(text)
        return Preview(kind="form", text=text, rows=rows[:MAX_ROWS], cut=cut or len(rows) > MAX_ROWS)
    return Preview(kind="text" if kind == "json" else kind, text=text, cut=cut)


_KINDS: dict[str, str] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/css": "css",
    "text/event-stream": "event-stream",
    "application/x-www-form-urlencoded": "form",
}
_BINARY = frozenset(
    ("application/grpc", "application/grpc+proto", "application/protobuf", "application/x-protobuf",
     "application/vnd.google.protobuf")
)  # fmt: skip


def _kind(media_type: str, text: str) -> str:
    """What a text is: by its type, or, where that says nothing, by how it begins."""
    if media_type in _UNSAID:
        begin = text[:200].lstrip().lower()
        if begin.startswith(("{", "[")):
            return "json"
        return "html" if begin.startswith(("<!doctype html", "<html")) and media_type == "" else "text"
    if media_type in _KINDS:
        return _KINDS[media_type]
    if media_type.endswith(("/json", "+json")):
        return "json"
    if media_type.endswith(("/xml", "+xml")):
        return "xml"
    return "script" if media_type.endswith(("javascript", "ecmascript")) else "text"


def _text(data: bytes, said: str) -> str | None:
    """The text in the beginning of `data`; None when it is none. A character that is cut off there is left out."""
    found = _CHARSET.search(said)
    charset = "utf-8" if found is None else found[1].lower()
    try:
        charset = codecs.lookup(charset).name
    except LookupError:
        return None
    if charset not in CHARSETS:
        return None
    begin = data[:MAX_TEXT]
    if charset == "utf-8":
        return text_of(begin[: whole_characters(begin)], charset)
    return text_of(begin, charset) if len(begin) % 4 == 0 else text_of(begin, charset) or text_of(begin[:-1], charset)


def _image(data: bytes) -> Preview | None:
    """A picture, by how it begins, whatever it says it is. Of these formats none can carry a script."""
    media_type = next((kind for begin, kind in _IMAGES if data.startswith(begin)), "")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        media_type = "image/webp"
    if not media_type or len(data) > MAX_IMAGE_BYTES:
        return None
    return Preview(kind="image", image=f"data:{media_type};base64,{base64.b64encode(data).decode()}")


def _form(text: str) -> list[tuple[str, str]]:
    """Names and values of a form (WHATWG URL, 5.1)."""
    rows: list[tuple[str, str]] = []
    for pair in text.split("&", MAX_ROWS + 1):
        name, _, value = pair.partition("=")
        rows.append((_plain(name), _plain(value)))
    return rows


def _plain(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "backslashreplace")


def _multipart(data: bytes, said: str, is_cut: bool) -> Preview:
    """The parts, each with its fields, and its content where that is a short text."""
    found = _BOUNDARY.search(said)
    if found is None:
        return _octets(data, "", is_cut)
    boundary = b"--" + (found[1] or found[2]).encode("latin-1")
    texts: list[str] = []
    parts = data.split(boundary, MAX_ROWS)[1:]
    for part in parts:
        if part.startswith(b"--"):
            break
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        text = _text(content, "") if len(content) <= MAX_PART_BYTES else None
        fields = "\n".join(printable(line) for line in head.split(b"\r\n"))
        texts.append(f"{fields}\n\n{text if text is not None else f'({len(content)} octets)'}")
    return Preview(kind="multipart", text="\n\n".join(texts)[:MAX_TEXT], cut=is_cut or len(parts) == MAX_ROWS)


def _protobuf(data: bytes, media_type: str) -> Preview | None:
    """Fields by their numbers, where the octets can be such; of small contents only, as every octet is looked at."""
    if len(data) > MAX_PROTOBUF_BYTES:
        return None
    try:
        text = grpc_text(data) if media_type.startswith("application/grpc") else protobuf_text(data)
    except NotProtobuf:
        return None
    return Preview(kind="protobuf", text=text[:MAX_TEXT], cut=len(text) > MAX_TEXT)


def _octets(data: bytes, media_type: str, is_cut: bool, problem: str = "") -> Preview:
    text = "\n".join(hexadecimal(data[:MAX_HEX_BYTES]))
    cut = is_cut or len(data) > MAX_HEX_BYTES
    return Preview(kind="hex", text=text, media_type=media_type, cut=cut, problem=problem)
