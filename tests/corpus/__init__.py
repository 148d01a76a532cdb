"""The byte-level corpus: HTTP/1.x messages as they arrive on the wire, each with its verdict.

`load()` gives every message of the TOML files beside this one, which are written for people to read too. A file is a
theme, a `[[message]]` is a message:

    name             a slug that reads as a sentence, unique over all files
    rule             the clause that decides, of an RFC or a row of the threats (A1 to A42), and what we do where it
                     leaves a choice
    kind             "request" or "response"
    bytes | parts    the wire: code points 0-255 stand for octets; parts, for what is long, are [text or parts, times]
    verdict          "accept" or "reject"
    split            false where cutting the wire at every octet would take too long

A refusal has the `status` that we answer with (502 for a response), and perhaps:

    policy           "choice" where the RFCs leave it open and we are strict, "ours" for a limit or rule of ours that
                     they do not have; without it, they ask for the refusal
    incomplete       true: nothing is wrong before the end of input; without it the refusal must not wait for more
    messages         of a request: what was whole before the refused one

What is accepted has the literal `messages` that are read, in their order (one for a response), with keys left out
where nothing is asserted, and perhaps:

    rest             the octets behind the last message that belong to a tunnel or to nobody and are not read as HTTP
    interim          of a response: the statuses of the 1xx before it
    extra            of a response: true where octets follow that belong to no message, so that the connection is done

A response answers a `request_method` (GET) and perhaps a `request_upgrade`. Its wire ends where the origin closed the
connection; after a request's wire the connection stays open. An upgrade to websocket is taken as asked for, every
other one as ignored.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ExpectedRequest:
    """One request as it must be read; text is latin-1, one character an octet, and None asserts nothing."""

    method: str
    target: str  # as it was sent
    version: str  # "1.0" or "1.1": higher minor versions are read as 1.1
    body: bytes
    fields: Pairs | None = None  # every field line: name as it was sent, value without the whitespace around it
    trailers: Pairs | None = None
    authority: str | None = None  # of the target URI: from the target, else from Host; case and port as sent
    close: bool | None = None  # whether the connection ends after its answer


@dataclass(frozen=True, slots=True)
class ExpectedResponse:
    """One final response as it must be read; text is latin-1, one character an octet, and None asserts nothing."""

    status: int
    body: bytes
    framing: str  # "length", "chunked", "close" or "none"
    reason: str | None = None
    fields: Pairs | None = None
    trailers: Pairs | None = None
    close: bool | None = None  # whether the connection is of no more use after it, extra octets aside


@dataclass(frozen=True, slots=True)
class Message:
    """One wire and its verdict; the module's docstring says what each attribute means."""

    theme: str
    name: str
    rule: str
    kind: str
    wire: bytes
    verdict: str
    split: bool = True
    status: int | None = None
    policy: str | None = None
    incomplete: bool = False
    messages: tuple[ExpectedRequest, ...] | tuple[ExpectedResponse, ...] = ()
    rest: bytes = b""
    request_method: str = "GET"
    request_upgrade: str | None = None
    interim: tuple[int, ...] = ()
    extra: bool = False


REQUEST_STATUSES = frozenset({400, 414, 417, 431, 501, 505})
FRAMINGS = frozenset({"length", "chunked", "close", "none"})
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ALWAYS = frozenset({"name", "rule", "kind", "verdict"})
_KEYS = {  # what else a message may have
    ("request", "accept"): frozenset({"bytes", "parts", "split", "messages", "rest"}),
    ("request", "reject"): frozenset({"bytes", "parts", "split", "status", "policy", "incomplete", "messages"}),
    ("response", "accept"): frozenset(
        {"bytes", "parts", "split", "messages", "rest", "request_method", "request_upgrade", "interim", "extra"}
    ),
    ("response", "reject"): frozenset(
        {"bytes", "parts", "split", "status", "policy", "incomplete", "request_method", "request_upgrade"}
    ),
}
_EXPECTED_KEYS = {  # what an expected message must have, and may have
    "request": (
        frozenset({"method", "target", "version", "body"}),
        frozenset({"fields", "trailers", "authority", "close"}),
    ),
    "response": (frozenset({"status", "body", "framing"}), frozenset({"reason", "fields", "trailers", "close"})),
}


@cache
def load(directory: Path = Path(__file__).parent) -> tuple[Message, ...]:
    """Every message, by file in the order of their names; ValueError names the file and the message with a mistake."""
    messages = tuple(m for file in sorted(directory.glob("*.toml")) for m in parse(file.stem, file.read_text("utf-8")))
    themes: dict[str, str] = {}
    for message in messages:
        if message.name in themes:
            raise ValueError(f"{message.theme}: {message.name!r} is a name in {themes[message.name]}, too")
        themes[message.name] = message.theme
    return messages


def parse(theme: str, text: str) -> list[Message]:
    """The messages of one file's text."""
    document = tomllib.loads(text)
    if set(document) != {"message"}:
        raise ValueError(f"{theme}: a file holds [[message]] tables and nothing else")
    messages = []
    for table in document["message"]:
        try:
            messages.append(_message(theme, table))
        except ValueError as error:
            raise ValueError(f"{theme}: {table.get('name', 'a message without a name')}: {error}") from None
    return messages


def _message(theme: str, table: Mapping[str, Any]) -> Message:
    missing = _ALWAYS - set(table)
    if missing:
        raise ValueError(f"{', '.join(sorted(missing))} missing")
    kind, verdict = table["kind"], table["verdict"]
    if (kind, verdict) not in _KEYS:
        raise ValueError("kind is request or response, verdict is accept or reject")
    unknown = set(table) - _ALWAYS - _KEYS[kind, verdict]
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: no key of a {kind} with the verdict {verdict}")
    if ("bytes" in table) == ("parts" in table):
        raise ValueError("either bytes or parts")
    if not _SLUG.fullmatch(table["name"]):
        raise ValueError("a name is words of small letters and digits with dashes between them")
    if not re.match(r"RFC \d{4}\b|THREATS A\d|Departs: ", table["rule"]):
        raise ValueError("a rule begins with the clause that decides")
    values = {key: table[key] for key in table if key not in ("bytes", "parts")}
    values["wire"] = _text(table["bytes"] if "bytes" in table else {"parts": table["parts"]}).encode("latin-1")
    values["messages"] = tuple(_expected(kind, each) for each in table.get("messages", []))
    values["rest"] = table.get("rest", "").encode("latin-1")
    values["interim"] = tuple(table.get("interim", []))
    message = Message(theme=theme, **values)
    _check_accepted(message) if verdict == "accept" else _check_refused(message)
    return message


def _check_accepted(message: Message) -> None:
    if not message.messages or (message.kind == "response" and len(message.messages) != 1):
        raise ValueError("what is accepted says what is read: messages, or one message of a response")
    if not message.wire.endswith(message.rest):
        raise ValueError("the wire does not end in the rest")
    if message.extra and message.rest:
        raise ValueError("octets behind a message are either rest or extra")
    if not all(100 <= status <= 199 and status != 101 for status in message.interim):
        raise ValueError("an interim status is 1xx, and 101 is final")


def _check_refused(message: Message) -> None:
    if message.status not in (REQUEST_STATUSES if message.kind == "request" else {502}):
        raise ValueError(f"{message.status} is no status of ours for a refused {message.kind}")
    if message.policy not in (None, "choice", "ours"):
        raise ValueError("policy is choice or ours")
    if message.incomplete and message.policy:
        raise ValueError("that a message is incomplete is no policy")


def _expected(kind: str, table: Mapping[str, Any]) -> Any:
    required, optional = _EXPECTED_KEYS[kind]
    wrong = (required - set(table)) | (set(table) - required - optional)
    if wrong:
        raise ValueError(f"an expected message lacks or does not have {', '.join(sorted(wrong))}")
    values = dict(table)
    values["body"] = _text(table["body"]).encode("latin-1")
    for key in ("fields", "trailers"):
        if key in values:
            values[key] = tuple((name, value) for name, value in values[key])
    if kind == "response":
        if values["framing"] not in FRAMINGS:
            raise ValueError(f"framing is one of {', '.join(sorted(FRAMINGS))}")
        return ExpectedResponse(**values)
    if values["version"] not in ("1.0", "1.1"):
        raise ValueError("version is 1.0 or 1.1")
    values["target"] = _text(table["target"])
    return ExpectedRequest(**values)


def _text(value: Any) -> str:
    """The text of a string, or of {"parts": [[text or parts, times], ...]}, which is for what is long."""
    if isinstance(value, str):
        return value
    return "".join(_text(part if isinstance(part, str) else {"parts": part}) * times for part, times in value["parts"])
