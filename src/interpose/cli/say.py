"""What commands say on standard error, and how they give up."""

from __future__ import annotations

import sys
from collections.abc import Iterable


class Refused(Exception):
    """Ends a command: the sentences to print and the exit status, 2 for bad usage or configuration, 1 otherwise."""

    def __init__(self, *sentences: str, status: int = 2) -> None:
        super().__init__(*sentences)
        self.sentences = sentences
        self.status = status


def complain(*sentences: str) -> None:
    """Print sentences to standard error, each on a line of its own, control characters made visible."""
    for sentence in sentences:
        print(f"interpose: {printable(sentence)}", file=sys.stderr)


def printable(text: str) -> str:
    """The text on one line: nothing that was read from a file or an argument may move a terminal's cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def numbered(sentences: Iterable[str]) -> tuple[str, ...]:
    """The sentences, after how many they are when there are several."""
    lines = tuple(sentences)
    return lines if len(lines) == 1 else (f"{len(lines)} problems:", *lines)
