"""`interpose desk edit`: a held message or a file in an editor, and back.

A message is written as people know it: a first line, fields, an empty line, content. JSON that stands on one line is
laid out for reading and put on one line again. What nobody touched is not sent back, so that it stays octet for octet.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from interpose.cli import instance
from interpose.cli.say import Refused

TIMEOUT_S = 30.0
MAX_EDIT_BYTES = 2 << 20


class Sheet(NamedTuple):
    """A message as text: what goes to the editor. `indent`: how its JSON is written again that came on one line."""

    head: str
    content: str | None
    indent: int | None = None

    @property
    def text(self) -> str:
        """All of it."""
        if self.content is None:
            return self.head
        return f"{self.head}\n{self.content}" if self.head else self.content


def edit_hold(control: Path, hold: dict[str, Any], content: Path | None) -> str:
    """Have it edited; a sentence about what came of it."""
    if content is not None:
        change: dict[str, Any] = {"base64": base64.b64encode(octets_in(content)).decode()}
        return _put(control, hold, change, None)
    sheet = sheet_of(hold)
    text, file = _edited(sheet.text, f"hold-{hold['id']}.txt")
    try:
        change = change_in(hold, sheet, text)
    except ValueError as error:
        raise Refused(f"{error} Your text is in {file}.") from None
    if not change:
        _remove(file)
        return "Nothing was changed."
    return _put(control, hold, change, file)


def edit_file(control: Path, id: str, content: Path | None) -> str:
    """Have a file of the spool edited; a sentence about what came of it."""
    import asyncio

    from interpose.cli.control_client import NoAnswer, asked

    async def read() -> tuple[int, dict[str, str], bytes]:
        async with asked(control, "GET", f"/v1/spool/{id}/content?limit={MAX_EDIT_BYTES}") as received:
            return received.status, dict(received.fields), await received.content()

    try:
        status, fields, data = asyncio.run(read())
    except NoAnswer as error:
        raise Refused(f"{control.parent.name}: {error}", status=1) from None
    if status >= 300:
        raise instance.refused(control, status, json.loads(data))
    if content is None and fields.get("x-content-cut"):
        raise Refused(f"{id} is longer than {MAX_EDIT_BYTES >> 20} MiB: edit it in the directory of the spool.")
    file = None
    if content is not None:
        after = octets_in(content)
    else:
        after, file = _edited_octets(data, f"spool-{id}")
        if after == data:
            _remove(file)
            return "Nothing was changed."
    answer = instance.answer_of(
        control, "PUT", f"/v1/spool/{id}/content", TIMEOUT_S, after, {"If-Match": fields.get("etag", "")}
    )
    _keep_or_remove(control, answer.status, answer.content, file)
    return f"{id} is changed: {len(after)} octets will be sent."


def sheet_of(hold: dict[str, Any]) -> Sheet:
    """A hold as text."""
    first = f"{hold['method']} {hold['url']}" if hold["method"] else f"{hold['status']} {hold['reason']}".rstrip()
    has_head = bool(hold["method"] or hold["status"])
    head = "".join(f"{name}: {value}\n" for name, value in hold["fields"])
    head = f"{first}\n{head}" if has_head else ""
    content = hold["content"]
    text = content["text"]
    if text is None:
        return Sheet(head, None)
    if content["kind"] == "json" and "\n" not in text:
        pretty = _laid_out(text)
        if pretty is not None:
            return Sheet(head, pretty, 0 if _on_one_line(text, 0) == text else -1)
    return Sheet(head, text)


def change_in(hold: dict[str, Any], sheet: Sheet, text: str) -> dict[str, Any]:
    """What was changed, as the API takes it. ValueError, a sentence, where it cannot be read any more."""
    change: dict[str, Any] = {}
    content: str | None = text
    if sheet.head:
        head, _, content = text.partition("\n\n")
        first, *lines = head.rstrip("\n").split("\n")
        change = _first_line(hold, first)
        fields = [_field(line) for line in lines if line]
        if fields != [tuple(pair) for pair in hold["fields"]]:
            change["fields"] = fields
    if sheet.content is None:
        if content:
            raise ValueError("The content is no text and cannot be written here; use --content FILE.")
        return change
    assert content is not None
    if not sheet.content.endswith("\n"):  # editors end the last line
        content = content.removesuffix("\n")
    if content != sheet.content:
        change["text"] = content if sheet.indent is None else _on_one_line(content, sheet.indent)
    return change


def octets_in(file: Path) -> bytes:
    """What is in a file, or comes on standard input (-)."""
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Refused(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from None


def _first_line(hold: dict[str, Any], first: str) -> dict[str, Any]:
    word, _, rest = first.partition(" ")
    if hold["method"]:
        now: dict[str, Any] = {"method": word, "url": rest.strip(" ")}
        if not rest:
            raise ValueError("The first line has to be a method and a URL.")
    else:
        if not (word.isascii() and word.isdecimal() and len(word) == 3):
            raise ValueError("The first line has to be a status and, if you like, a reason.")
        now = {"status": int(word), "reason": rest.strip(" ")}
    return {name: value for name, value in now.items() if value != hold[name]}


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError(f"The line {line[:60]!r} is no field: it has no colon.")
    return name, value.strip(" \t")


def _laid_out(text: str) -> str | None:
    """JSON, a value a line; None where that is none, or would be too long."""
    from interpose.console.json_text import indented, is_json

    if not is_json(text.encode()):
        return None
    pretty, is_cut = indented(text, MAX_EDIT_BYTES)
    return None if is_cut else pretty


def _on_one_line(text: str, indent: int) -> str:
    """JSON on one line, as it came: with spaces (0) or without (-1). What is none any more stays as it was written."""
    import msgspec

    try:
        return msgspec.json.format(text, indent=indent)
    except (ValueError, RecursionError):
        return text


def _put(control: Path, hold: dict[str, Any], change: dict[str, Any], file: Path | None) -> str:
    answer = instance.answer_of(
        control,
        "PUT",
        f"/v1/desk/{hold['id']}",
        TIMEOUT_S,
        json.dumps(change).encode(),
        {"If-Match": f'"{hold["version"]}"'},
    )
    _keep_or_remove(control, answer.status, answer.content, file)
    return f"Hold {hold['id']} has version {answer.content['version']} now."


def _keep_or_remove(control: Path, status: int, said: dict[str, Any], file: Path | None) -> None:
    """Remove what was written when it has arrived; else say where it is."""
    if status < 300:
        if file is not None:
            _remove(file)
        return
    refused = instance.refused(control, status, said)
    if file is not None:
        refused.sentences = (*refused.sentences, f"Your text is in {file}.")
    raise refused


def _remove(file: Path) -> None:
    """Remove what was written, and its directory unless the editor has left something there."""
    file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        file.parent.rmdir()


def _edited(text: str, name: str) -> tuple[str, Path]:
    data, file = _edited_octets(text.encode("utf-8", "surrogateescape"), name)
    try:
        return data.decode(), file
    except UnicodeDecodeError:
        raise Refused(f"what the editor wrote is not UTF-8; it is in {file}.") from None


def _edited_octets(data: bytes, name: str) -> tuple[bytes, Path]:
    """What an editor makes of `data`, and the file in which it is, which only its owner can read."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    file = Path(tempfile.mkdtemp(prefix="interpose-")) / name
    file.touch(0o600)
    file.write_bytes(data)
    try:
        status = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode
    except OSError as error:
        raise Refused(f"the editor {editor!r} cannot be started: {(error.strerror or str(error)).lower()}.") from None
    if status:
        raise Refused(
            f"the editor ended with status {status}, so nothing was changed; your text is in {file}.", status=1
        )
    return file.read_bytes(), file
