"""Keeping the books: each unit is counted once, with the variant it was shown first, whoever tells of it and how often.

Used by one thread. Raises sqlite3.Error, having changed nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from interpose.core.experiment.counted import Books, Counted, Kind, Reached, Requests
from interpose.core.experiment.deciding import State
from interpose.core.experiment.notes import HOLDOUT, Event, Notes
from interpose.core.experiment.trend import MOST_POINTS, Points, is_due, superfluous
from interpose.storage.experiments.database import FILE, lossy, opened

KEPT_S: Final = 90 * 86400.0
"""How long the books of an experiment that is not configured any more are kept."""
MOST_DECISIONS: Final = 1000
EARLY_S: Final = 60.0
"""How long what a unit came to waits for what it was shown. Workers tell twice a second; later only when nothing can be
written."""

T = TypeVar("T")
Key = tuple[str, str]
"""Name and salt: an experiment with another salt is another one."""


class ExperimentBooks:
    """See the module. `problem` says what was wrong with what was found, "" when nothing was."""

    def __init__(self, directory: Path) -> None:
        self._connection, self.problem = opened(directory)
        self._ids: dict[Key, int] = {}
        self._variants: dict[tuple[int, str], int] = {}

    # --- what is written -------------------------------------------------------------------------------------------

    def take(self, batch: Sequence[Notes], now: float | None = None) -> None:
        """Write down what workers have seen: all of it, or (when this raises) nothing."""
        now = time.time() if now is None else now
        with self._transaction():
            for notes in batch:
                self._take(notes, now)
            self._run("DELETE FROM early WHERE at < ?", now - EARLY_S)

    def _take(self, notes: Notes, now: float) -> None:
        experiment = self._experiment((notes.name, notes.salt), now)
        self._run("UPDATE experiments SET touched = ? WHERE id = ?", now, experiment)
        if notes.exposures:
            self._expose(experiment, notes)
        for event in notes.events:
            self._reach(experiment, event)
        for name, requests in notes.requests.items():
            variant = self._variant(experiment, name)
            known = self._requests(variant)
            known.add(requests)
            self._run("UPDATE variants SET requests = ? WHERE id = ?", msgspec.json.encode(known).decode(), variant)

    def _expose(self, experiment: int, notes: Notes) -> None:
        epoch = self._epoch(experiment, notes.shares)
        (before,) = self._one("SELECT units FROM experiments WHERE id = ?", experiment)
        units, turned_away = before, 0
        for unit, name, at in notes.exposures:
            variant = self._variant(experiment, name)
            if units >= notes.most_units:
                known = self._one("SELECT 1 FROM units WHERE experiment = ? AND unit = ?", experiment, unit)
                turned_away += known is None
                continue
            added = self._run("INSERT OR IGNORE INTO units VALUES (?, ?, ?, ?)", experiment, unit, variant, at).rowcount
            if added:
                units += 1
                self._run(
                    "INSERT INTO exposed VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET units = units + 1", epoch, variant
                )
                self._reach_early(experiment, unit, at)
            elif self._run(
                "UPDATE units SET at = ?1 WHERE experiment = ?2 AND unit = ?3 AND at > ?1", at, experiment, unit
            ).rowcount:
                self._reach_early(experiment, unit, at)
        self._run(
            "UPDATE experiments SET units = ?, turned_away = turned_away + ? WHERE id = ?",
            units, turned_away, experiment,
        )  # fmt: skip

    def _reach(self, experiment: int, event: Event) -> None:
        """Count a goal for a unit that was shown something before; others have nothing to do with the experiment."""
        shown = self._one("SELECT variant, at FROM units WHERE experiment = ? AND unit = ?", experiment, event.unit)
        if shown is None or event.at < shown[1]:  # as far as we have been told
            row = (experiment, event.unit, event.goal, event.kind, event.value, event.at)
            self._run("INSERT INTO early VALUES (?, ?, ?, ?, ?, ?)", *row)
            return
        key = (experiment, event.goal, event.unit)
        before = self._one("SELECT events, total FROM reached WHERE experiment = ? AND goal = ? AND unit = ?", *key)
        if before is not None and event.kind == "conversion":
            return
        events, total = before or (0, 0.0)
        self._run("INSERT OR REPLACE INTO reached VALUES (?, ?, ?, ?, ?)", *key, events + 1, total + event.value)
        was = _value(event.kind, events, total)
        becomes = _value(event.kind, events + 1, total + event.value)
        self._run(
            "INSERT INTO totals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET units = units + excluded.units, "
            "total = total + excluded.total, squares = squares + excluded.squares",
            shown[0], event.goal, int(before is None), becomes - was, becomes * becomes - was * was,
        )  # fmt: skip

    def _reach_early(self, experiment: int, unit: bytes, at: float) -> None:
        """Count what a unit came to after it was shown something, at this time, and before we were told of that."""
        which = "FROM early WHERE experiment = ? AND unit = ? AND at >= ?"
        found = self._run(f"SELECT goal, kind, value, at {which}", experiment, unit, at).fetchall()
        if found:
            self._run(f"DELETE {which}", experiment, unit, at)
            for row in found:
                self._reach(experiment, Event(unit, *row))

    def decide(self, key: Key, state: State) -> None:
        """Keep a decision, and have it as the state from now on."""
        text = msgspec.json.encode(state).decode()
        with self._transaction():
            experiment = self._experiment(key, state.at)
            self._run("UPDATE experiments SET state = ?, touched = ? WHERE id = ?", text, state.at, experiment)
            self._run("INSERT INTO decisions (experiment, state) VALUES (?, ?)", experiment, text)

    def note_trend(self, key: Key, points: Points, now: float) -> bool:
        """Keep what is known now, if it is time for that and anything has changed; whether it was kept."""
        row = self._one("SELECT id FROM experiments WHERE name = ? AND salt = ?", *key)
        if row is None:
            return False
        (experiment,) = row
        text = msgspec.json.encode(points).decode()
        first, last, count = self._one("SELECT min(at), max(at), count(*) FROM trend WHERE experiment = ?", experiment)
        if count:
            (newest,) = self._one("SELECT points FROM trend WHERE experiment = ? AND at = ?", experiment, last)
            if newest == text or not is_due(first, last, now):
                return False
        with self._transaction():
            self._run("INSERT OR REPLACE INTO trend VALUES (?, ?, ?)", experiment, now, text)
            if count >= MOST_POINTS:
                times = self._run("SELECT at FROM trend WHERE experiment = ? ORDER BY at", experiment).fetchall()
                for at in superfluous([at for (at,) in times]):
                    self._run("DELETE FROM trend WHERE experiment = ? AND at = ?", experiment, at)
        return True

    def forget(self, configured: Sequence[Key], now: float) -> None:
        """Give up the books of experiments that nobody has configured for long."""
        old = self._run("SELECT id, name, salt FROM experiments WHERE touched < ?", now - KEPT_S).fetchall()
        with self._transaction():
            for experiment, name, salt in old:
                if (name, salt) not in configured:
                    self._run("DELETE FROM experiments WHERE id = ?", experiment)
        self._ids.clear()
        self._variants.clear()

    # --- what is read ----------------------------------------------------------------------------------------------

    def books(self, key: Key) -> Books:
        """All that was counted of an experiment."""
        row = self._one("SELECT id, began, turned_away FROM experiments WHERE name = ? AND salt = ?", *key)
        if row is None:
            return Books()
        experiment, began, turned_away = row
        names = dict(self._run("SELECT id, name FROM variants WHERE experiment = ?", experiment).fetchall())
        counted = {name: Counted(requests=self._requests(number), goals={}) for number, name in names.items()}
        epochs: list[Mapping[str, tuple[int, float]]] = []
        every = self._run("SELECT id, shares FROM epochs WHERE experiment = ? ORDER BY id", experiment).fetchall()
        for epoch, text in every:
            shares = _read(text, dict[str, float]) or {}
            exposed = dict(self._run("SELECT variant, units FROM exposed WHERE epoch = ?", epoch).fetchall())
            units = {names[number]: many for number, many in exposed.items()}
            for name, many in units.items():
                counted[name].units += many
            epochs.append({name: (units.get(name, 0), share) for name, share in shares.items()})
        for number, goal, many, total, squares in self._run(
            "SELECT totals.* FROM totals JOIN variants ON variants.id = variant WHERE experiment = ?", experiment
        ).fetchall():
            counted[names[number]].goals[goal] = Reached(many, total, squares)
        held_out = counted.pop(HOLDOUT, Counted()).units
        return Books(variants=counted, epochs=epochs, held_out=held_out, began=began, turned_away=turned_away)

    def decisions(self, key: Key, limit: int = 50) -> list[State]:
        """What was decided, the last first."""
        rows = self._run(
            "SELECT decisions.state FROM decisions JOIN experiments ON experiments.id = experiment "
            "WHERE name = ? AND salt = ? ORDER BY decisions.id DESC LIMIT ?",
            *key, min(limit, MOST_DECISIONS),
        )  # fmt: skip
        return [state for (text,) in rows if (state := _read(text, State)) is not None]

    def trend(self, key: Key) -> list[tuple[float, Points]]:
        """What was known at some times, the oldest first."""
        rows = self._run(
            "SELECT at, points FROM trend JOIN experiments ON experiments.id = experiment "
            "WHERE name = ? AND salt = ? ORDER BY at",
            *key,
        )
        return [(at, points) for at, text in rows if (points := _read(text, Points)) is not None]

    def states(self) -> dict[Key, State]:
        """How every experiment stands of which something was decided."""
        return _states(self._connection)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    # --- parts -----------------------------------------------------------------------------------------------------

    def _experiment(self, key: Key, now: float) -> int:
        known = self._ids.get(key)
        if known is None:
            self._run(
                "INSERT OR IGNORE INTO experiments (name, salt, began, touched) VALUES (?, ?, ?, ?)", *key, now, now
            )
            (known,) = self._one("SELECT id FROM experiments WHERE name = ? AND salt = ?", *key)
            self._ids[key] = known
        return known

    def _variant(self, experiment: int, name: str) -> int:
        known = self._variants.get((experiment, name))
        if known is None:
            self._run("INSERT OR IGNORE INTO variants (experiment, name) VALUES (?, ?)", experiment, name)
            (known,) = self._one("SELECT id FROM variants WHERE experiment = ? AND name = ?", experiment, name)
            self._variants[experiment, name] = known
        return known

    def _epoch(self, experiment: int, shares: Mapping[str, float]) -> int:
        """The number of the times in which these are the shares."""
        text = msgspec.json.encode(dict(sorted(shares.items()))).decode()
        self._run("INSERT OR IGNORE INTO epochs (experiment, shares) VALUES (?, ?)", experiment, text)
        (epoch,) = self._one("SELECT id FROM epochs WHERE experiment = ? AND shares = ?", experiment, text)
        return int(epoch)

    def _requests(self, variant: int) -> Requests:
        (text,) = self._one("SELECT requests FROM variants WHERE id = ?", variant)
        known = _read(text, Requests)
        return Requests() if known is None or len(known.times) != len(Requests().times) else known

    def _run(self, sql: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def _one(self, sql: str, *values: object) -> Any:
        return self._connection.execute(sql, values).fetchone()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._ids.clear()  # they may be of rows that are undone now
            self._variants.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def states_in(directory: Path) -> dict[Key, State]:
    """How every experiment stands, by the books in `directory`; nothing where there are none that can be read."""
    path = directory / FILE
    if not path.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            connection.text_factory = lossy
            return _states(connection)
    except (sqlite3.Error, ValueError):
        return {}


def _states(connection: sqlite3.Connection) -> dict[Key, State]:
    rows = connection.execute("SELECT name, salt, state FROM experiments WHERE state <> ''")
    return {(name, salt): state for name, salt, text in rows if (state := _read(text, State)) is not None}


def _read(text: str, kind: type[T]) -> T | None:
    """The JSON that was written; None where the disk has made something else of it."""
    try:
        return msgspec.json.decode(text, type=kind)
    except ValueError:
        return None


def _value(kind: Kind, events: int, total: float) -> float:
    """What one unit came to."""
    if kind == "mean":
        return total / events if events else 0.0
    return total
