"""Sequence diagrams of text: a column for each part, time downwards, an arrow for what goes from one to another.

The first part's line is at the left and its notes stand to the right of it; the last part's line is at the right and
its notes stand to the left of it; those between have theirs to the right. What is too long for its place is wrapped.
Where the columns would be too narrow to read, the same events become a list of sentences.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len

from interpose.lab.scene import Event, Kind

NARROWEST_GAP = 18
"""Columns between two lines of life. With fewer, a list is easier to read."""

CLOCK_WIDTH = 10

PLAIN, PART, DIM, GOOD, BAD, CLOCK, TITLE = "", "bold", "dim", "cyan", "bold red", "dim", "bold"
"""Styles of rich."""

_ASCII = str.maketrans(
    {"│": "|", "─": "-", "▶": ">", "◀": "<", "├": "+", "┤": "+", "✗": "X", "…": "~", "┼": "|", "╴": "-", "╶": "-"}
)


class Span(NamedTuple):
    """Text in one style."""

    text: str
    style: str


Line = tuple[Span, ...]


def drawn(parts: Sequence[str], events: Sequence[Event], width: int, *, clock: bool = True) -> list[Line]:
    """The diagram in `width` columns, with the time of each event at its left when `clock` is true."""
    indent = CLOCK_WIDTH if clock else 0
    canvas = Canvas(parts, width - indent)
    if canvas.gap < NARROWEST_GAP and len(parts) > 1:
        return list(listed(events, width))
    lines: list[Line] = [_indented(line, "", indent) for line in canvas.header()]
    for event in events:
        for number, line in enumerate(canvas.lines_of(event)):
            first = number == 0 and event.kind is not Kind.TITLE
            lines.append(_indented(line, elapsed(event.at_s) if first else "", indent))
    lines.append(_indented(canvas.row(), "", indent))
    return lines


def in_ascii(text: str) -> str:
    """The text for a terminal that has no box characters."""
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def elapsed(seconds: float) -> str:
    """A time in the unit that suits it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def listed(events: Sequence[Event], width: int) -> Iterator[Line]:
    """The events as sentences, for narrow terminals."""
    for event in events:
        match event.kind:
            case Kind.TITLE:
                yield ()
                head, text, style = "", event.text, TITLE
            case Kind.NOTE:
                head, text, style = f"{event.source}: ", event.text, PLAIN
            case Kind.ARROW:
                head, text, style = f"{event.source} ─▶ {event.target}: ", event.text, GOOD
            case Kind.LOST:
                head, text, style = f"{event.source} ─✗ {event.target}: ", event.text, BAD
        for line in textwrap.wrap(head + text, max(width, 12), subsequent_indent="  "):
            yield (Span(line, style),)


def _indented(line: Line, text: str, indent: int) -> Line:
    return (Span(f"{text:>{indent - 2}}  ", CLOCK), *line) if indent else line


class Canvas:
    """Where the lines of life are, and rows of characters between them."""

    def __init__(self, parts: Sequence[str], width: int) -> None:
        self.parts = parts
        self.width = width
        last = width - 2
        steps = max(1, len(parts) - 1)
        self.columns = {part: 1 + round((last - 1) * number / steps) for number, part in enumerate(parts)}
        self.gap = (last - 1) // steps - 1

    def row(self, *puts: tuple[int, str, str]) -> Line:
        """One row: the lines of life, and over them texts at columns, in styles."""
        cells: list[tuple[str, str]] = [(" ", PLAIN)] * self.width
        for column in self.columns.values():
            cells[column] = ("│", DIM)
        for column, text, style in puts:
            at = column
            for character in text:
                wide = cell_len(character)
                if at + wide > self.width or at < 0:
                    break
                cells[at] = (character, style)
                if wide == 2:
                    cells[at + 1] = ("", style)
                at += max(wide, 1)
        return _spans(cells)

    def header(self) -> Iterator[Line]:
        """The names of the parts above their lines."""
        places = []
        for part, column in self.columns.items():
            length = cell_len(part)
            at = min(max(0, column - length // 2), self.width - length)
            places.append((max(at, 0), part, PART))
        blank = {column: (column, " ", PLAIN) for column in self.columns.values()}
        yield self.row(*blank.values(), *places)

    def lines_of(self, event: Event) -> Iterator[Line]:
        """The rows of one event."""
        match event.kind:
            case Kind.TITLE:
                yield self.row()
                for text in textwrap.wrap(event.text, self.width - 8):
                    middle = (self.width - cell_len(text) - 2) // 2
                    yield self.row((max(0, middle), f" {text} ", TITLE))
            case Kind.NOTE:
                yield from self._note(event)
            case Kind.ARROW | Kind.LOST:
                yield from self._arrow(event)

    def _note(self, event: Event) -> Iterator[Line]:
        column = self.columns[event.source]
        is_last = event.source == self.parts[-1] and len(self.parts) > 1
        room = (self.width - column - 4) if len(self.parts) == 1 else self.gap - 3
        for number, text in enumerate(wrapped(event.text, room)):
            if is_last:
                joint = (column - 1, "╶┤", DIM) if number == 0 else (column, "│", DIM)
                yield self.row((column - 2 - cell_len(text), text, PLAIN), joint)
            else:
                joint = (column, "├╴", DIM) if number == 0 else (column, "│", DIM)
                yield self.row((column + 3, text, PLAIN), joint)

    def _arrow(self, event: Event) -> Iterator[Line]:
        begin, end = self.columns[event.source], self.columns[event.target]
        low, high = min(begin, end), max(begin, end)
        forward = end > begin
        style = BAD if event.kind is Kind.LOST else GOOD
        texts = wrapped(event.text, high - low - 3)
        length = high - low - 1
        if len(texts) == 1 and cell_len(texts[0]) <= length - 7:
            yield self.row(*self._shaft(low, length, forward, style, event.kind, f" {texts[0]} "))
            return
        for text in texts:
            yield self.row((low + 1 + (length - cell_len(text)) // 2, text, PLAIN))
        yield self.row(*self._shaft(low, length, forward, style, event.kind, ""))

    def _shaft(
        self, low: int, length: int, forward: bool, style: str, kind: Kind, label: str
    ) -> Iterator[tuple[int, str, str]]:
        reach = length if kind is Kind.ARROW else max(2 * length // 3, min(length - 2, cell_len(label) + 5))
        at = low + 1 if forward else low + 1 + length - reach
        shaft = "─" * (reach - 1)
        if kind is Kind.ARROW:
            line = f"{shaft}▶" if forward else f"◀{shaft}"
        else:
            line = f"{shaft}✗" if forward else f"✗{shaft}"
        yield (at, line, style)
        for column in self.columns.values():
            if at < column < at + reach - 1:
                yield (column, "┼", style)
        if label:
            yield (at + (reach - cell_len(label)) // 2, label, PLAIN)


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of `width`, broken inside a word only where there is no other way."""
    return textwrap.wrap(text, max(width, 8), break_on_hyphens=False) or [""]


def _spans(cells: Sequence[tuple[str, str]]) -> Line:
    spans: list[Span] = []
    for character, style in cells:
        if spans and spans[-1].style == style:
            spans[-1] = Span(spans[-1].text + character, style)
        else:
            spans.append(Span(character, style))
    if spans and not spans[-1].text.rstrip(" "):
        spans.pop()
    return tuple(spans)
