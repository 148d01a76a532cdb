"""A recorded request as a command for curl, to be pasted into a shell: nothing in it is ever more than an argument."""

from __future__ import annotations

import shlex

from interpose.console.flow_views import pairs_of
from interpose.core.journal import Kept

_FRAMING = ("content-length", "transfer-encoding", "host")


def curl_command(kept: Kept, content: bytes) -> str:
    """The command. What it cannot say (secrets that were never written down, content that is cut or no text) is in
    comments before it."""
    record = kept.record
    comments: list[str] = []
    arguments = ["curl"]
    text = _text(content)
    if record.method == "HEAD":
        arguments.append("--head")
    elif record.method != ("POST" if content else "GET"):
        arguments += ("--request", _quoted(record.method))
    if any(character in record.target for character in "[]{}"):
        arguments.append("--globoff")
    if "/." in record.target:
        arguments.append("--path-as-is")
    arguments.append(_quoted(record.target))
    fields = pairs_of(record.request.fields)
    redacted = set(kept.request_redacted)
    for name, value in fields:
        if name.lower() in redacted or name.lower() in _FRAMING:
            continue
        arguments += ("--header", _quoted(f"{name}: {value}" if value else f"{name};"))
        if name.lower() == "accept-encoding":
            arguments.append("--compressed")
    if redacted:
        comments.append(f"Left out, as they are not in the journal: {', '.join(sorted(redacted))}.")
    if record.request.size > len(content):
        comments.append(f"Only {len(content)} of the {record.request.size} octets of the content were kept.")
    if content and text is None:
        comments.append("The content is no text: download it into the file `content` first.")
        arguments += ("--data-binary", "@content")
    elif text:
        arguments += ("--data-raw", _quoted(text))
        if not any(name.lower() == "content-type" for name, _ in fields):
            arguments += ("--header", "Content-Type:")  # curl would say that it is a form
    return "".join(f"# {comment}\n" for comment in comments) + _lines(arguments) + "\n"


def _text(content: bytes) -> str | None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\r\n\t" for character in text) else None


def _quoted(text: str) -> str:
    return shlex.quote(text)


def _lines(arguments: list[str]) -> str:
    """One option a line."""
    lines: list[str] = [arguments[0]]
    for argument in arguments[1:]:
        starts = argument.startswith("--") or not lines[-1].startswith("--")
        if starts and lines[-1] != "curl":
            lines.append(argument)
        else:
            lines[-1] += f" {argument}"
    return " \\\n  ".join(lines)
