"""What was measured, as plain values that go to JSON and back."""

from __future__ import annotations

import json
import platform
import re
import statistics
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Measurement:
    """One peer in one round of one workload. `cost` is in seconds or bytes per unit of the workload's work."""

    cost: float
    rate_per_s: float | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    pss_bytes: int | None = None
    busy: float | None = None
    largest_share: float | None = None
    worker_cost: float | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Series:
    """All rounds of one peer in one workload, or the reason why there are none."""

    rounds: list[Measurement] = field(default_factory=list)
    skipped: str = ""

    def median(self, name: str) -> float | None:
        """The median of one figure over the rounds; None when it was not measured."""
        values = [value for one in self.rounds if (value := getattr(one, name)) is not None]
        return statistics.median(values) if values else None

    def notes(self) -> list[str]:
        """What was odd: of notes that differ in their numbers only, the first, and in how many rounds it was so."""
        alike: dict[str, list[str]] = {}
        for one in self.rounds:
            for note in one.notes:
                alike.setdefault(re.sub(r"\d+", "0", note), []).append(note)
        rounds = len(self.rounds)
        return [f"{notes[0]} ({len(notes)} of {rounds} rounds)" if rounds > 1 else notes[0] for notes in alike.values()]


@dataclass(slots=True)
class Results:
    """One run of the benchmark: workload by workload, peer by peer."""

    date: str
    machine: str
    options: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    workloads: dict[str, dict[str, Series]] = field(default_factory=dict)

    def series(self, workload: str, peer: str) -> Series:
        """The rounds of a peer in a workload, made empty when there are none yet."""
        return self.workloads.setdefault(workload, {}).setdefault(peer, Series())

    def cost(self, workload: str, peer: str) -> float | None:
        """The median cost of a peer in a workload; None when it was not measured."""
        series = self.workloads.get(workload, {}).get(peer)
        return series.median("cost") if series else None

    def to_json(self) -> str:
        """The whole run, readable by people as well."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n"


def from_json(text: str) -> Results:
    """The run that `to_json` wrote; `ValueError` for another schema."""
    value = json.loads(text)
    if value.pop("schema", None) != SCHEMA:
        raise ValueError(f"these are not results of this benchmark with schema {SCHEMA}")
    workloads = {
        workload: {
            peer: Series([Measurement(**one) for one in series["rounds"]], series["skipped"])
            for peer, series in by_peer.items()
        }
        for workload, by_peer in value.pop("workloads").items()
    }
    return Results(**value, workloads=workloads)


def begun(options: dict[str, Any]) -> Results:
    """Results without figures yet, dated, with the machine described."""
    return Results(date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", machine=_machine(), options=options)


def _machine() -> str:
    cpu = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpu if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    kernel = platform.release().partition("-")[0]
    return f"{len(models) or 1} x {model}, Linux {kernel}, Python {platform.python_version()}"
