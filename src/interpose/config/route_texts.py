"""Texts of routes that mean something: templates, texts with places to fill in, fields, sites, directories.

Like `config/kinds.py`: from what was written to its canonical form, or a ValueError with what is wrong and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from interpose.core.failure import Failure
from interpose.core.fields import HOP_BY_HOP
from interpose.core.path_pattern import pattern_of
from interpose.core.query import QueryError, parse
from interpose.core.substitution import Substitution
from interpose.engine.own_answers import parted
from interpose.protocol.target import canonical_path

LONGEST = 2000
_ERROR_STATUS = re.compile(r"[45](?:[0-9][0-9]|xx)")
_VISIBLE_PATH = re.compile(r"/[\x21-\x7e]*")
_FIELD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_PARAMETER = re.compile(r"[^=\s]+=.*")
_ORIGIN = re.compile(r"https?://(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?::[0-9]{1,5})?")
_ORIGIN_OF_ADDRESS = re.compile(r"https?://\[[0-9a-f:.]{2,45}\](?::[0-9]{1,5})?")
_ENDING = re.compile(r"(\.[A-Za-z0-9_-]{1,32})=([a-z0-9.+-]+/[a-z0-9.+-]+(?:; ?[a-z0-9-]+=[A-Za-z0-9_-]+)?)")
_IN_A_HOST = frozenset(("host", "port"))
_NOT_OURS_TO_WRITE = HOP_BY_HOP | {b"expect", b"host", b"trailer"}


def route_path(text: str) -> str:
    """A path, or a template of paths."""
    plain_path(text)
    pattern_of(text)
    return text


def plain_path(text: str) -> str:
    """A path in the one spelling in which paths are compared."""
    if _VISIBLE_PATH.fullmatch(text) is None or "?" in text or "#" in text:
        raise ValueError('must begin with "/" and hold no space, "?" or "#"; encode others with %')
    try:
        canonical = canonical_path(text, merge_slashes=True)
    except Failure as failure:
        raise ValueError(f"can never match: {failure.detail}") from None
    if canonical != text:
        raise ValueError(f'can never match, since paths are brought to one spelling first; write "{canonical}"')
    if ";" in text:
        raise ValueError("can never match: what follows a semicolon in a segment is left out when routes are chosen")
    return text


def filled(text: str) -> str:
    """A printable text, in which places may be filled in."""
    if len(text) > LONGEST or not text.isprintable():
        raise ValueError(f"must be printable, on one line, of at most {LONGEST} characters")
    return text


def filled_path(text: str) -> str:
    """A path in which places may be filled in; "" for none."""
    if not text:
        return ""
    if _VISIBLE_PATH.fullmatch(filled(text)) is None or "?" in text or "#" in text:
        raise ValueError('must begin with "/" and hold no space, "?" or "#"; encode others with %')
    if any(segment in (".", "..") for segment in text.split("/")):
        raise ValueError('must not hold "." or ".." as a segment; write the path that is meant')
    try:
        canonical_path(text, merge_slashes=True)
    except Failure as failure:
        raise ValueError(f"is no path: {failure.detail}") from None
    return text


def location(text: str) -> str:
    """Where a redirect leads: a path or a URL, whose host no client can choose."""
    form = 'write "/path" or "https://host/path"'
    if not filled(text).isascii() or " " in text or "#" in text:
        raise ValueError(f'must be ASCII without spaces and "#"; {form}')
    if text.startswith("/") and not text.startswith("//"):
        return text
    scheme, separator, authority = parted(text)[0].partition("://")
    if not separator or scheme not in ("http", "https"):
        raise ValueError(f"is neither a path nor a URL; {form}")
    names = set(Substitution(authority).names)
    if not authority or "@" in authority or "\\" in authority:
        raise ValueError(f"names no host; {form}")
    if names - _IN_A_HOST:
        name = sorted(names - _IN_A_HOST)[0]
        raise ValueError(f"lets clients choose the host by {{{name}}}; only {{host}} and {{port}} may stand there")
    return text


def condition(text: str) -> str:
    """A query, or "" for none."""
    try:
        if text:
            parse(text)
    except QueryError as error:
        raise ValueError(str(error)) from None
    return text


def field(text: str) -> str:
    """The name of a field that a configuration may write; a final `*` stands for any ending."""
    if _FIELD.fullmatch(text) is None:
        raise ValueError("is not a field's name; use letters, digits and !#$%&'*+-.^_`|~, 64 at most")
    if text.lower().encode("ascii") in _NOT_OURS_TO_WRITE:
        fix = "rewrite.host sets what servers see" if text.lower() == "host" else "leave it out"
        raise ValueError(f"belongs to one connection or to framing, which are written by themselves; {fix}")
    return text


def filled_line(text: str) -> str:
    """A field with its value: `Name: value`."""
    name, colon, value = text.partition(":")
    if not colon or not value.strip():
        raise ValueError('is not a field; write "Name: value"')
    return f"{field(name)}: {filled(value.strip())}"


def parameter(text: str) -> str:
    """A parameter of a query: `name=value`."""
    if _PARAMETER.fullmatch(filled(text)) is None:
        raise ValueError('is not a parameter; write "name=value"')
    return text


def origin(text: str) -> str:
    """A site as browsers call it: scheme, host and a port that is not the scheme's own; `*` for all."""
    if text == "*":
        return text
    form = 'write "https://app.example", "https://*.example" or "*"'
    lowered = text.lower()
    if _ORIGIN.fullmatch(lowered) is None and _ORIGIN_OF_ADDRESS.fullmatch(lowered) is None:
        raise ValueError(f"is not a site as browsers call it, with scheme and without a path; {form}")
    scheme, _, authority = lowered.partition("://")
    own = {"http": ":80", "https": ":443"}[scheme]
    if authority.endswith(own):
        raise ValueError(f'is never called so by browsers; write "{lowered.removesuffix(own)}"')
    if urlsplit(lowered.replace("*", "a")).port == 0:
        raise ValueError(f"has the port 0; {form}")
    return lowered


def site(base: Path, text: str) -> str:
    """The absolute path of a directory that is there."""
    try:
        path = base / Path(text).expanduser()
    except RuntimeError:
        raise ValueError("names a home directory that does not exist") from None
    if not text or "\0" in text:
        raise ValueError("must be the path of a directory")
    if not path.is_dir():
        raise ValueError(f"there is no directory {path}; make it first" if not path.exists() else "is not a directory")
    return str(path)


def file_name(text: str) -> str:
    """The name of a file in a directory."""
    if not text or text in (".", "..") or "/" in text or not text.isprintable() or len(text.encode()) > 255:
        raise ValueError('must be the name of a file, without a path; write "index.html"')
    return text


def tried_path(text: str) -> str:
    """A path of a file that is tried: `/index.html`, `{path}.html`."""
    if set(Substitution(text).names) - {"path"} or not text.startswith(("/", "{path}")):
        raise ValueError('must begin with "/" or "{path}", and may have nothing else filled in; write "{path}.html"')
    filled_path(text if text.startswith("/") else f"/{text}")
    return text


def type_of_ending(text: str) -> str:
    """The media type of an ending: `.wasm=application/wasm`."""
    if _ENDING.fullmatch(text) is None:
        raise ValueError('is not the media type of an ending; write ".wasm=application/wasm"')
    return text


def error_status(text: str) -> str:
    """A status of errors, or a class of them."""
    if _ERROR_STATUS.fullmatch(text) is None:
        raise ValueError('is no status of an error; write "404", or "4xx" or "5xx" for a class')
    return text


KINDS: dict[str, Callable[[str], str]] = {
    "route_path": route_path,
    "filled": filled,
    "filled_path": filled_path,
    "filled_line": filled_line,
    "location": location,
    "condition": condition,
    "field": field,
    "parameter": parameter,
    "origin": origin,
    "file_name": file_name,
    "tried_path": tried_path,
    "type_of_ending": type_of_ending,
    "error_status": error_status,
}
