"""A held message as a text for an editor, and what was changed in it."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from interpose.cli import desk_edit, instance
from interpose.cli.control_client import Answer
from interpose.cli.desk_edit import change_in, sheet_of
from interpose.cli.hold_view import hold_story
from interpose.cli.say import Refused


def hold(text: str | None = '{"a":1,"b":[2]}', kind: str = "json", **changes: Any) -> dict[str, Any]:
    size = len(text or "")
    content = {"kind": kind, "text": text, "size": size, "stored_size": size or 3}
    return {
        "id": "abcdefgh", "version": 3, "what": "request", "method": "POST", "url": "http://shop.example/", "status": 0,
        "reason": "", "fields": [["Host", "shop.example"], ["X-A", "1"]], "content": content, **changes,
    }  # fmt: skip


RESPONSE: dict[str, Any] = {"what": "response", "method": "", "url": "", "status": 200, "reason": "OK"}
CHUNK: dict[str, Any] = {"what": "chunk", "method": "", "status": 0, "fields": [], "reason": ""}


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (hold(), 'POST http://shop.example/\nHost: shop.example\nX-A: 1\n\n{\n  "a": 1,\n  "b": [\n    2\n  ]\n}'),
        (hold('{"a":\n1}'), 'POST http://shop.example/\nHost: shop.example\nX-A: 1\n\n{"a":\n1}'),
        (hold("a=1", "form"), "POST http://shop.example/\nHost: shop.example\nX-A: 1\n\na=1"),
        (hold("", "text", fields=[]), "POST http://shop.example/\n\n"),
        (hold(None, "hex"), "POST http://shop.example/\nHost: shop.example\nX-A: 1\n"),
        (hold("x", "text", **RESPONSE), "200 OK\nHost: shop.example\nX-A: 1\n\nx"),
        (hold("GET / HTTP/1.1\r\n\r\n", "text", **CHUNK), "GET / HTTP/1.1\r\n\r\n"),
    ],
)
def test_a_message_is_written_as_people_know_it(one: dict[str, Any], text: str) -> None:
    assert sheet_of(one).text == text


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize(
    "one",
    [hold(), hold('{"a": 1}'), hold("plain\n\nwith empty lines\n", "text"), hold("", "text"), hold(None, "hex"),
     hold("x", "text", **RESPONSE), hold("\n\nx", "text", **CHUNK)],
)  # fmt: skip
def test_what_nobody_touched_is_no_change(one: dict[str, Any], end: str) -> None:
    sheet = sheet_of(one)
    text = sheet.text
    ends_so = (sheet.content or "").endswith("\n") or sheet.content is None
    assert change_in(one, sheet, text if ends_so else text + end) == {}


@pytest.mark.parametrize(
    ("before", "edit", "change"),
    [
        (hold(), ('"a": 1', '"a": 7'), {"text": '{"a":7,"b":[2]}'}),
        (hold('{"a": 1}'), ('"a": 1', '"a": [1, 2]'), {"text": '{"a": [1, 2]}'}),
        (hold(), ('"a": 1', '"a": broken'), {"text": '{\n  "a": broken,\n  "b": [\n    2\n  ]\n}'}),
        (hold(), ("POST", "PUT"), {"method": "PUT"}),
        (hold(), ("http://shop.example/\n", "http://other.example/x y\n"), {"url": "http://other.example/x y"}),
        (hold(), ("X-A: 1\n", ""), {"fields": [("Host", "shop.example")]}),
        (hold(), ("X-A: 1", "X-A:  2 \nX-A: 3"), {"fields": [("Host", "shop.example"), ("X-A", "2"), ("X-A", "3")]}),
        (hold("x", "text", **RESPONSE), ("200 OK", "404 Not here"), {"status": 404, "reason": "Not here"}),
        (hold("x", "text", **RESPONSE), ("200 OK", "204"), {"status": 204, "reason": ""}),
        (hold("a=1", "form"), ("a=1", "a=2\n\n"), {"text": "a=2\n"}),
    ],
)
def test_what_was_changed_is_sent_and_nothing_else(
    before: dict[str, Any], edit: tuple[str, str], change: dict[str, Any]
) -> None:
    sheet = sheet_of(before)
    assert edit[0] in sheet.text
    assert change_in(before, sheet, sheet.text.replace(*edit)) == change


@pytest.mark.parametrize(
    ("before", "text", "why"),
    [
        (hold(), "POST\n\n{}", "a method and a URL"),
        (hold(), "POST http://x/\nno field\n\n{}", "'no field' is no field"),
        (hold("x", "text", **RESPONSE), "OK\n\nx", "a status"),
        (hold(None, "hex"), "POST http://shop.example/\nHost: shop.example\nX-A: 1\n\ntext", "use --content FILE"),
    ],
)
def test_what_cannot_be_read_any_more_is_said(before: dict[str, Any], text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        change_in(before, sheet_of(before), text)


class Asked:
    """In place of a running instance: takes down what it is asked, and answers with `status`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: int = 200) -> None:
        self.asked: list[tuple[str, str, Any, Any]] = []
        self.status = status
        monkeypatch.setattr(instance, "answer_of", self.answer)

    def answer(self, control: Path, method: str, path: str, timeout_s: float, content: bytes, fields: Any) -> Answer:
        self.asked.append((method, path, json.loads(content), fields))
        return Answer(self.status, {"version": 4, "errors": ["Somebody else was quicker."]})


CONTROL = Path("/state/web/control.sock")


def editor(directory: Path, code: str) -> str:
    """An editor that does `code` with `file`."""
    script = directory / "editor.py"
    script.write_text(f"import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n{code}\n")
    return f"{sys.executable} {script}"


@pytest.fixture
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where texts wait for their editor."""
    place = tmp_path / "drafts"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.delenv("VISUAL", raising=False)
    return place


def test_an_edit_names_the_version_that_was_seen(drafts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import os; pathlib.Path({str(tmp_path / 'mode')!r}).write_text(str(os.stat(file).st_mode))"
    monkeypatch.setenv(
        "EDITOR", editor(tmp_path, f"{code}\nfile.write_text(file.read_text().replace('1', '9') + '\\n')")
    )
    asked = Asked(monkeypatch)
    assert desk_edit.edit_hold(CONTROL, hold("1", "text"), None) == "Hold abcdefgh has version 4 now."
    change = {"fields": [["Host", "shop.example"], ["X-A", "9"]], "text": "9"}
    assert asked.asked == [("PUT", "/v1/desk/abcdefgh", change, {"If-Match": '"3"'})]
    assert list(drafts.iterdir()) == []
    assert stat.S_IMODE(int((tmp_path / "mode").read_text())) == 0o600


def test_nothing_is_sent_when_nothing_was_changed(
    drafts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", editor(tmp_path, ""))
    asked = Asked(monkeypatch)
    assert desk_edit.edit_hold(CONTROL, hold(), None) == "Nothing was changed."
    assert (asked.asked, list(drafts.iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("code", "status", "why"),
    [
        ("file.write_text(file.read_text() + 'more')", 412, "Somebody else was quicker."),
        ("file.write_text('nonsense')", 200, "a method and a URL"),
        ("file.write_bytes(b'POST http://x/\\n\\n\\xff')", 200, "is not UTF-8"),
        ("sys.exit(3)", 200, "ended with status 3"),
    ],
)
def test_no_text_is_lost(
    drafts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, status: int, why: str
) -> None:
    monkeypatch.setenv("EDITOR", editor(tmp_path, code))
    Asked(monkeypatch, status)
    with pytest.raises(Refused) as refused:
        desk_edit.edit_hold(CONTROL, hold("x", "text"), None)
    said = " ".join(refused.value.sentences)
    [draft] = drafts.rglob("hold-abcdefgh.txt")
    assert why in said
    assert str(draft) in said


def test_an_editor_that_is_not_there_is_named(drafts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "/none/editor --wait")
    with pytest.raises(Refused, match="the editor '/none/editor --wait' cannot be started: no such file"):
        desk_edit.edit_hold(CONTROL, hold(), None)
    assert os.listdir(drafts)


def test_content_comes_from_a_file_without_an_editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").write_bytes(b"\x00\xff")
    asked = Asked(monkeypatch)
    desk_edit.edit_hold(CONTROL, hold(None, "hex"), tmp_path / "new")
    assert asked.asked[0][2] == {"base64": base64.b64encode(b"\x00\xff").decode()}
    with pytest.raises(Refused, match="cannot be read: no such file"):
        desk_edit.edit_hold(CONTROL, hold(), tmp_path / "none")


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, "POST http://shop.example/"),
        (RESPONSE, "200 OK"),
        (CHUNK | {"url": "127.0.0.1:9"}, "To 127.0.0.1:9:"),
    ],
)
def test_what_is_held_is_told_with_the_line_it_has(changes: dict[str, Any], first: str) -> None:
    shown = {
        "state": "waiting", "deadline": None, "user": "", "client_waits": True, "client": "127.0.0.1:1", "rule": "x",
        "reviewers": [], "outcome": None, "verdict": None, "by": "", "on_timeout": "drop", "audit": [],
    }  # fmt: skip
    lines = list(hold_story(hold("hello", "text", **changes, **shown)))
    assert lines[lines.index("") + 1] == first


def test_a_held_response_names_the_request_that_it_answers() -> None:
    shown = {
        "state": "waiting", "deadline": None, "user": "", "client_waits": True, "client": "127.0.0.1:1", "rule": "x",
        "reviewers": [], "outcome": None, "verdict": None, "by": "", "on_timeout": "drop", "audit": [],
        "request": {"method": "GET", "url": "http://shop.example/a"},
    }  # fmt: skip
    assert "It answers GET http://shop.example/a." in list(hold_story(hold("x", "text", **RESPONSE, **shown)))


def test_nothing_that_is_held_moves_the_cursor() -> None:
    evil = "a\x1b[2J\u202e\x07b"
    shown = {
        "state": "waiting", "deadline": None, "user": evil, "client_waits": True, "client": evil, "rule": evil,
        "reviewers": [evil], "outcome": evil, "verdict": None, "by": "", "on_timeout": "drop",
        "audit": [{"at": 0.0, "who": evil, "what": evil, "why": evil}],
    }  # fmt: skip
    text = "".join(hold_story(hold(f"{evil}\nnext", "text", url=evil, fields=[[evil, evil]], **shown)))
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert "a\\x1b[2J\\u202e\\x07b" in text
