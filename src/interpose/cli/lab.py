"""`interpose lab`: experiments that run on loopback and explain what happened."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interpose.cli.say import Refused

if TYPE_CHECKING:
    from rich.console import Console

    from interpose.lab.experiment import Experiment, Report
    from interpose.net.blocking import Moment

Markdown = Annotated[
    Path | None,
    typer.Option("--markdown", metavar="FOLDER", help="Write what is shown as a page, NAME.md, into this folder too."),
]

Pcapng = Annotated[
    Path | None,
    typer.Option("--pcapng", metavar="FILE", help="Write what went over the sockets as a capture for Wireshark."),
]

lab = typer.Typer(
    no_args_is_help=True, help="Experiments with sockets and proxies that run here and explain themselves."
)


@lab.command("list")
def list_() -> None:
    """Name every experiment and its question, in the order in which they build on each other."""
    from interpose.cli.table import console, table
    from interpose.lab.catalogue import EXPERIMENTS

    rows = [(experiment.name, experiment.question) for experiment in EXPERIMENTS]
    console().print(table(("Name", "Question"), rows))


@lab.command()
def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `interpose lab list` has it.")],
    markdown: Markdown = None,
    pcapng: Pcapng = None,
) -> None:
    """Run one experiment: what happened as a sequence diagram, the answer in words, the code to read."""
    from interpose.lab.experiment import perform
    from interpose.lab.report import print_report

    experiment = wanted(name)
    prepare(markdown)
    moments: list[Moment] = []
    report = perform(experiment, moments.append if pcapng else None)
    print_report(report, paper())
    capture(pcapng, moments, [report])
    finish([report], markdown)


@lab.command("all")
def all_(markdown: Markdown = None, pcapng: Pcapng = None) -> None:
    """Run every experiment and say whether its outcome is the one that it states; exit status 1 when one differs."""
    from interpose.lab.catalogue import EXPERIMENTS
    from interpose.lab.diagram import elapsed
    from interpose.lab.experiment import perform

    prepare(markdown)
    out = paper()
    widest = max(len(experiment.name) for experiment in EXPERIMENTS)
    reports = []
    moments: list[Moment] = []
    for experiment in EXPERIMENTS:
        report = perform(experiment, moments.append if pcapng else None)
        reports.append(report)
        verdict = "differs" if report.failure else "ok"
        out.print(f"{verdict:<7}  {experiment.name:<{widest}}  {elapsed(report.took_s):>8}  {experiment.question}")
    capture(pcapng, moments, reports)
    finish(reports, markdown)
    out.print(f"\nAll {len(reports)} outcomes are the stated ones. `interpose lab run NAME` shows one.")


def wanted(name: str) -> Experiment:
    """The experiment of that name; else Refused, with the nearest one."""
    from interpose.lab.catalogue import EXPERIMENTS, named

    if (experiment := named(name)) is not None:
        return experiment
    near = get_close_matches(name, [experiment.name for experiment in EXPERIMENTS], 1)
    hint = f"did you mean {near[0]}?" if near else "`interpose lab list` names them."
    raise Refused(f"There is no experiment '{name}'; {hint}")


def prepare(folder: Path | None) -> None:
    """Have the folder for pages; Refused when it cannot be had."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"Pages cannot be written to '{folder}': {(error.strerror or str(error)).lower()}.") from error


def finish(reports: list[Report], folder: Path | None) -> None:
    """Write the pages of what went well. Refused, with status 1, names every outcome that differs."""
    from interpose.lab.page import page

    if folder is not None:
        for report in reports:
            if not report.failure:
                write(folder / f"{report.experiment.name}.md", page(report))
    if differing := [report for report in reports if report.failure]:
        sentences = [f"{report.experiment.name}: {report.failure}" for report in differing]
        raise Refused(*sentences, status=1)


def capture(file: Path | None, moments: list[Moment], reports: list[Report]) -> None:
    """Write what the sockets did, when somebody wants it; Refused when it cannot be written."""
    if file is None:
        return
    from interpose.lab.capture import capture_of

    try:
        file.write_bytes(
            capture_of(moments, frozenset(port for report in reports for port in report.scene.product_ports))
        )
    except OSError as error:
        raise Refused(f"'{file}' cannot be written: {(error.strerror or str(error)).lower()}.", status=1) from error


def write(file: Path, text: str) -> None:
    """Write a page; Refused when it cannot be written."""
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise Refused(f"'{file}' cannot be written: {(error.strerror or str(error)).lower()}.", status=1) from error


def paper() -> Console:
    """Standard output, 80 columns wide where no terminal says how wide it is."""
    import os
    import sys

    from rich.console import Console

    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, markup=False, soft_wrap=True, width=None if has_width else 80)
