"""Holds and files in a terminal. Nothing of what is held reaches a terminal as it is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.table import Table

from interpose.cli.status_view import duration, size
from interpose.cli.table import table
from interpose.core.printable import printable

_SHOWN_LINES = 400


def hold_table(holds: Iterable[Mapping[str, Any]]) -> Table:
    """Holds, one a row."""
    return table(
        ("ID", "Since", "What", "Where to", "Rule", "State", "Left"),
        [
            (
                hold["id"], clock(hold["at"]), shown(f"{hold['method'] or hold['status'] or ''} {hold['what']}"),
                shown(hold["url"]), shown(hold["rule"]), _state(hold), _left(hold),
            )
            for hold in holds
        ],
    )  # fmt: skip


def file_table(items: Iterable[Mapping[str, Any]]) -> Table:
    """Files of a spool, one a row."""
    return table(
        ("ID", "Since", "Name", "From", "Size", "State"),
        [
            (
                item["id"], clock(item.get("received_at", 0.0)), shown(item.get("name", "")),
                shown(item.get("client", "")), size(item.get("size", 0)), item["state"],
            )
            for item in items
        ],
        numbers=("Size",),
    )  # fmt: skip


def rule_table(rules: Iterable[Mapping[str, Any]]) -> Table:
    """Rules, one a row."""
    return table(
        ("ID", "What may pass", "Until", "By"),
        [(str(rule["id"]), shown(rule["query"]), moment(rule["until"]), shown(rule["who"])) for rule in rules],
    )


def audit_table(entries: Iterable[Mapping[str, Any]]) -> Table:
    """Entries of the audit, one a row."""
    return table(
        ("N", "At", "Who", "What", "Hold", "Version", "Why"),
        [
            (
                str(entry["n"]), moment(entry["at"]), shown(entry["who"]), shown(entry["what"]), shown(entry["hold"]),
                str(entry["version"] or ""), shown(entry["why"]),
            )
            for entry in entries
        ],
        numbers=("N",),
    )  # fmt: skip


def hold_story(hold: Mapping[str, Any]) -> Iterator[str]:
    """Lines that tell all of a hold."""
    yield f"Hold {hold['id']}, version {hold['version']}: {_state(hold)}{_left_in_words(hold)}."
    who = f", user {shown(hold['user'])}" if hold["user"] else ""
    waits = "who waits" if hold["client_waits"] else "who does not wait"
    yield f"A {hold['what']} from {shown(hold['client'])}{who}, {waits}; held by {shown(hold['rule']) or 'a script'}."
    if hold.get("request"):
        yield f"It answers {shown(hold['request']['method'])} {shown(hold['request']['url'])}."
    if hold["reviewers"]:
        yield f"Looked at by {shown(', '.join(hold['reviewers']))}."
    if hold["outcome"]:
        yield f"Outcome: {shown(hold['outcome'])}"
    for entry in hold["audit"]:
        why = f": {shown(entry['why'])}" if entry["why"] else ""
        yield f"  {moment(entry['at'])}  {shown(entry['who'])}  {shown(entry['what'])}{why}"
    yield ""
    if hold["method"]:
        yield shown(f"{hold['method']} {hold['url']}")
    elif hold["status"]:
        yield shown(f"{hold['status']} {hold['reason']}".strip())
    else:  # a piece of a conversation has no head
        yield shown(f"To {hold['url']}:")
    for name, value in hold["fields"]:
        yield f"{shown(name)}: {shown(value)}"
    yield ""
    yield from _content(hold["content"])


def file_story(item: Mapping[str, Any]) -> Iterator[str]:
    """Lines that tell all of a file."""
    yield f"File {item['id']}: {item['state']}, {size(item.get('size', 0))}, from {shown(item.get('client', ''))}."
    for label, key in (("Name", "name"), ("SHA-256", "sha256"), ("Server", "server"), ("Problem", "problem")):
        if item.get(key):
            yield f"{label}: {shown(str(item[key]))}"
    for event in item.get("events", ()):
        yield f"  {moment(event['at'])}  {event['state']}  {shown(event.get('why', ''))}".rstrip()


def moment(seconds: float) -> str:
    """Day and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def clock(seconds: float) -> str:
    """The time of day."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def shown(text: str) -> str:
    """The text, as a terminal may have it."""
    return printable(text.encode("utf-8", "backslashreplace"))


def _content(content: Mapping[str, Any]) -> Iterator[str]:
    if content["text"] is None:
        if content["stored_size"]:
            yield f"({content['stored_size']} octets, no text; `desk edit --content FILE` replaces them)"
        return
    lines = printable(content["text"].encode("utf-8", "backslashreplace"), keep="\n\t").split("\n")
    yield from lines[:_SHOWN_LINES]
    if len(lines) > _SHOWN_LINES:
        yield f"… ({content['size']} octets in all)"


def _state(hold: Mapping[str, Any]) -> str:
    return f"{hold['state']}, {hold['verdict']} by {shown(hold['by'])}" if hold["verdict"] else str(hold["state"])


def _left(hold: Mapping[str, Any]) -> str:
    return duration(max(0.0, hold["deadline"] - time.time())) if hold["deadline"] is not None else ""


def _left_in_words(hold: Mapping[str, Any]) -> str:
    return f", {hold['on_timeout']} in {_left(hold)}" if hold["deadline"] is not None else ""
