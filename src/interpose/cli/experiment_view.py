"""Experiments as people read them in a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from interpose.cli.table import table
from interpose.core.printable import printable

_STYLES = {"running": "green", "promoted": "bold green", "paused": "yellow", "rolled back": "bold red"}
_STANDINGS = {"better": "green", "worse": "bold red", "undecided": "yellow"}
_NUMBERS = ("Units", "Share", "Reached", "Mean", "Best")


def list_view(experiments: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A line for each."""
    return table(
        ("Experiment", "State", "Takes part", "Units", "Verdict"),
        [
            (one["name"], _state(one), percent(one["share"]), f"{one['report']['units']:,}", _verdict(one))
            for one in experiments
        ],
        numbers=("Takes part", "Units"),
    )


def experiment_view(one: Mapping[str, Any]) -> RenderableType:
    """All of it."""
    report = one["report"]
    head = Text.assemble((one["name"], "bold"), "  ", _state(one), f"  {percent(one['share'])} of {one['unit']}s")
    if one["holdout"]:
        head.append(f", {percent(one['holdout'])} held out")
    parts: list[RenderableType] = [head, *_ramp(one), Text(printable(one["why"].encode()), "dim")]
    if report["ratio"]["is_suspicious"]:
        parts.append(Text(report["ratio"]["words"], "bold red"))
    if report["turned_away"]:
        parts.append(Text(f"{report['turned_away']:,} units came beyond max_units and are not counted.", "yellow"))
    parts += [Text(f"Guard broken: {guard['broken']}", "bold red") for guard in one["guards"] if guard["broken"]]
    for goal in report["goals"]:
        parts += [Text(), _goal(goal, report["variants"]), Text(f"  {goal['verdict']}", "bold")]
        if goal["effects"]:
            parts += [Text(), _effects(goal)]
    if not report["goals"]:
        parts += [Text(), _variants(report["variants"])]
    parts += [Text(), _decisions(one["decisions"])] if one["decisions"] else []
    return Group(*parts)


def _goal(goal: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> RenderableType:
    shares = {row["variant"]: row["share"] for row in variants}
    is_share = goal["kind"] == "conversion"
    rows = []
    for one in goal["estimates"]:
        style = _STANDINGS.get(one["standing"], "")
        rows.append(
            (
                one["variant"],
                f"{one['units']:,}",
                percent(shares.get(one["variant"], 0)),
                f"{one['reached']:,}",
                number(one["mean"], is_share),
                f"{number(one['low'], is_share)} to {number(one['high'], is_share)}",
                percent(one["best"]),
                Text(one["standing"], style),
            )
        )
    return table(
        (goal["goal"], "Units", "Share", "Reached", "Mean", "95 % sure", "Best", "To the control"),
        rows,
        numbers=_NUMBERS,
    )


def _variants(variants: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [(row["variant"], f"{row['units']:,}", f"{row['requests']:,}", f"{row['errors']:,}") for row in variants]
    numbers = ("Units", "Exchanges", "Errors")
    return table(("Variant", *numbers), rows, numbers=numbers)


def _effects(goal: Mapping[str, Any]) -> RenderableType:
    is_share = goal["kind"] == "conversion"
    rows = [(one["of"], difference(one["estimate"], is_share), f"{one['p']:.3g}") for one in goal["effects"]]
    return table(("Effect", "Difference", "p (Holm)"), rows, numbers=("Difference", "p (Holm)"))


def _decisions(decisions: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [
        (
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one["at"])),
            f"{one['phase']} {one['variant']}".rstrip(),
            printable(one["by"].encode()),
            printable(one["why"].encode()),
        )
        for one in decisions
    ]
    return table(("Decided", "What", "By", "Why"), rows)


def _state(one: Mapping[str, Any]) -> Text:
    text = one["phase"] if one["phase"] != "promoted" else f"promoted {one['variant']}"
    return Text(text, style=_STYLES.get(one["phase"], ""))


def _verdict(one: Mapping[str, Any]) -> str:
    if one["report"]["ratio"]["is_suspicious"]:
        return "The sample ratio is wrong; see interpose experiments show."
    goals = one["report"]["goals"]
    return f"{goals[0]['goal']}: {goals[0]['verdict']}" if goals else "It has no goal."


def _ramp(one: Mapping[str, Any]) -> list[Text]:
    ramp = one["ramp"]
    if not ramp:
        return []
    text = Text("ramp  ", "dim")
    for step, share in enumerate(ramp):
        text.append(f"{percent(share)}  ", "bold" if step == one["step"] else "dim")
    if one["next_step_at"]:
        text.append(
            f"next {time.strftime('%Y-%m-%d %H:%M', time.localtime(one['next_step_at']))} at the earliest", "dim"
        )
    return [text]


def percent(share: float) -> str:
    """A share, with as many places as say something."""
    value = 100 * share
    if 0 < value < 0.01:
        return "< 0.01 %"
    return f"{value:.0f} %" if value == round(value) or value >= 99.95 else f"{value:.{1 if value >= 1 else 2}f} %"


def number(value: float, is_share: bool) -> str:
    """A mean: a share in percent, else a number of four places."""
    return f"{100 * value:.2f} %" if is_share else f"{value:.4g}"


def difference(value: float, is_share: bool) -> str:
    """A difference of means: of shares in points of a percent."""
    return f"{100 * value:+.2f} points" if is_share else f"{value:+.4g}"
