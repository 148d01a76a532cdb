"""The dashboard in examples/: all that it asks for is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from interpose.console.exposition import _NAMES, _OF_ONE_WORKER, exposition
from interpose.core.tally import Tally

ROOT = Path(__file__).parents[3]
DASHBOARD = json.loads((ROOT / "examples" / "grafana.json").read_text("utf-8"))
METRIC = re.compile(r"\binterpose_[a-z0-9_]+")
LABELS = re.compile(r"\b([a-z_]+)=~?\"|by \(([a-z_, ]+)\)")
OF_PROMETHEUS = {"instance", "job"}
"""Labels that whoever scrapes adds."""


def known() -> dict[str, set[str]]:
    """Every metric that can be told, with its labels."""
    worker = {"number": 0, "state": "serving"}
    status = {
        "workers": [{**worker, "counters": dict.fromkeys(_OF_ONE_WORKER, 1.0)}],
        "counters": dict.fromkeys(_NAMES, 1.0),
    }
    numbers = ([1] * 6, [1] * 14)
    tallies = [Tally("route", ("front", "/"), *numbers), Tally("upstream", ("app", "http://app"), *numbers)]
    servers = [{"upstream": "app", "server": "http://app", "state": "up", "active": 1}]
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition(status, tallies, servers)):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def asked() -> Iterator[str]:
    """Every expression of the dashboard."""
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def names_of(expression: str) -> set[str]:
    return set(METRIC.findall(expression))


def test_every_metric_and_label_of_the_dashboard_exists() -> None:
    metrics = known()
    for expression in asked():
        names = names_of(expression)
        assert names, expression
        assert names <= set(metrics), (expression, names - set(metrics))
        labels = {one for pair in LABELS.findall(expression) for one in re.split(r", *", pair[0] or pair[1])}
        for name in names:
            assert labels <= metrics[name] | OF_PROMETHEUS, (expression, name)


def test_legends_use_labels_that_their_expressions_keep() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                by = re.search(r"by \(([a-z_, ]+)\)", target["expr"])
                assert by is None or label in re.split(r", *", by[1]), (panel["title"], label)


def test_panels_have_their_own_places_and_numbers() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_manual_names_no_metric_that_there_is_not() -> None:
    metrics = known()
    families = set(metrics) | {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics}
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert names_of(page)
    assert names_of(page) <= families, names_of(page) - families
    shortened = {f"interpose{name}" for name in re.findall(r"`(_[a-z_]+)`", page)}
    assert shortened <= families, shortened - families
