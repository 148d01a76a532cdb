"""What the terminal shows of an experiment: diagram, what was measured, messages, the answer, the code to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from interpose.lab.diagram import BAD, DIM, PLAIN, TITLE, Line, Span, drawn, in_ascii, wrapped
from interpose.lab.experiment import Report
from interpose.lab.scene import Exhibit, Fact
from interpose.lab.source import line_of

WIDEST = 100
"""Lines longer than this are no easier to read."""

BAR = "│"


def print_report(report: Report, out: Console) -> None:
    """Everything about one experiment, in the width of `out`."""
    width = min(out.width, WIDEST)
    is_ascii = out.options.ascii_only
    for line in report_lines(report, width):
        text = Text()
        for span in line:
            text.append(in_ascii(span.text) if is_ascii else span.text, span.style)
        text.rstrip()
        out.print(text, soft_wrap=True)


def report_lines(report: Report, width: int) -> Iterator[Line]:
    """The lines of a report."""
    experiment, scene = report.experiment, report.scene
    for text in wrapped(experiment.question, width):
        yield (Span(text, TITLE),)
    yield ()
    yield from drawn(scene.parts, scene.events, width)
    yield ()
    if report.failure:
        for text in wrapped(report.failure, width):
            yield (Span(text, BAD),)
        return
    if scene.facts:
        yield from fact_lines(scene.facts, width)
        yield ()
    for exhibit in scene.exhibits:
        yield from exhibit_lines(exhibit, width)
        yield ()
    for paragraph in experiment.paragraphs:
        for text in wrapped(paragraph, width):
            yield (Span(text, PLAIN),)
        yield ()
    yield (Span("Read", TITLE),)
    for place in experiment.code:
        file, _, name = place.partition(":")
        number = line_of(place)
        yield (Span(f"  src/interpose/{file}:{number}", PLAIN), Span(f"  {name}" if name else "", DIM))


def fact_lines(facts: Sequence[Fact], width: int) -> Iterator[Line]:
    """Names and values in two columns."""
    widest = min(max(cell_len(fact.name) for fact in facts), width // 2)
    for fact in facts:
        names = wrapped(fact.name, widest)
        values = wrapped(fact.value, width - widest - 4)
        for number in range(max(len(names), len(values))):
            name = names[number] if number < len(names) else ""
            value = values[number] if number < len(values) else ""
            yield (Span(f"  {name:<{widest}}  ", DIM), Span(value, PLAIN))


def exhibit_lines(exhibit: Exhibit, width: int) -> Iterator[Line]:
    """A message below its title; a line that is too long goes on in the next."""
    yield (Span(exhibit.title, TITLE),)
    room = max(width - 4, 8)
    for line in exhibit.lines:
        for start in range(0, len(line), room):
            yield (Span(f"  {BAR} ", DIM), Span(line[start : start + room], PLAIN))
