"""(in the supervisor) What the firewall has matched, as the journal tells, and what other rules would make of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from interpose.config.convert import convert
from interpose.config.firewall import left_out
from interpose.config.firewall_text import rule_ids, rule_variable
from interpose.config.firewall_trial import Case, Trial, cases_of, try_out
from interpose.config.kinds import kinds
from interpose.config.model import Config
from interpose.config.problem import ConfigError, Problem
from interpose.core.query import parse
from interpose.core.record import Record
from interpose.filters.firewall.options import Exclusion, Firewall
from interpose.filters.firewall.reasons import Match, Told, told_by
from interpose.filters.firewall.what_if import Judged, as_text, by_rule, differences
from interpose.storage.journal.reader import Reader

MATCHED = "note.firewall:*"
COUNTED = 500
"""Of how many of the latest matches rules are counted."""
MOST_TRIED = 10_000
MOST_SHOWN = 200


class LiveFirewall:
    """See `console.services.Firewall`. `instance` is the supervisor; without a `reader` of the journal nobody knows
    what was matched."""

    def __init__(self, instance: Any, reader: Reader | None) -> None:
        self._instance = instance
        self._reader = reader
        self._trying = asyncio.Lock()

    async def listed(self, query: str, limit: int) -> dict[str, Any]:
        """See `console.services.Firewall`."""
        config = self._config()
        told, more = await asyncio.to_thread(self._told, query, max(limit, COUNTED))
        return {
            "firewall": None if config.firewall is None else _in_short(config.firewall),
            "is_recorded": self._reader is not None,
            "matches": [_row(*one) for one in told[:limit]],
            "more": more or len(told) > limit,
            "top": _top(told),
            "left_out": left_out(config),
        }

    async def shown(self, id: int) -> dict[str, Any]:
        """See `console.services.Firewall`."""
        record = await asyncio.to_thread(self._reader.whole, id) if self._reader is not None else None
        told = None if record is None else told_by(record.notes)
        if record is None or told is None:
            raise LookupError(f"the firewall has matched nothing in {id}")
        return _row(id, record, told)

    async def tried(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """See `console.services.Firewall`."""
        if self._reader is None:
            raise ValueError("nothing is recorded by this instance, so there is nothing to try rules on")
        config = self._config()
        then = _changed(config.firewall, wanted)
        if self._trying.locked():
            raise ValueError("another trial runs; wait for its end")
        async with self._trying:
            last = min(wanted.get("last") or 500, MOST_TRIED)
            cases = await asyncio.to_thread(self._cases, config, wanted.get("query") or "", last)
            has_changed = config.firewall is None or then != config.firewall
            trial = await try_out(config.firewall, then, cases, every=bool(wanted.get("every")) or not has_changed)
        return _result(trial, dict(cases))

    def _config(self) -> Config:
        config: Config = msgspec.msgpack.decode(self._instance.config(), type=Config)
        return config

    def _told(self, query: str, limit: int) -> tuple[list[tuple[int, Record, Told]], bool]:
        if self._reader is None:
            return [], False
        if query:
            parse(query)  # what is wrong with it is told of it, and not of what stands around it here
        found = self._reader.find(parse(f"{MATCHED} ({query})" if query else MATCHED), limit=limit)
        told = []
        for summary in found.rows:
            kept = self._reader.get(summary.id)
            if kept is not None and (said := told_by(kept.record.notes)) is not None:
                told.append((summary.id, kept.record, said))
        return told, found.more

    def _cases(self, config: Config, query: str, last: int) -> list[Case]:
        """The newest recorded exchanges that match, as many as are wanted."""
        assert self._reader is not None
        numbers: list[int] = []
        for number in self._reader.numbers(parse(query) if query else None):
            numbers.append(number)
            if len(numbers) >= last:
                break
        return cases_of(list(self._reader.wholes(numbers)), config)


def _changed(now: Firewall | None, wanted: Mapping[str, Any]) -> Firewall:
    """The options with what is to be tried. ConfigError for what cannot be."""
    names = ("rule_set", "blocking_paranoia", "detection_paranoia", "inbound_threshold", "outbound_threshold")
    raw = msgspec.to_builtins(now or Firewall())
    raw |= {name: wanted[name] for name in names if wanted.get(name)}
    if wanted.get("blocking_paranoia") and not wanted.get("detection_paranoia"):
        raw["detection_paranoia"] = 0
    raw["exclude"] = [*raw["exclude"], *map(_exclusion, wanted.get("exclude") or ())]
    problems: list[Problem] = []
    changed: Firewall = convert(raw, Firewall, kinds(Path.cwd()), problems)
    if problems:
        raise ConfigError(problems)
    return changed


def _exclusion(text: str) -> dict[str, Any]:
    """`942100`, or `942100:ARGS:content`."""
    rules, colon, variable = text.partition(":")
    try:
        return {"rules": [rule_ids(rules)], "variables": [rule_variable(variable)] if colon else []}
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None


def _in_short(options: Firewall) -> dict[str, Any]:
    names = (
        "mode", "core_rules", "blocking_paranoia", "inbound_threshold", "outbound_threshold", "max_body_bytes",
        "deadline_s", "on_failure",
    )  # fmt: skip
    return {
        **{name: getattr(options, name) for name in names},
        "detection_paranoia": options.detects_to,
        "rules": len(options.rules),
        "exclusions": len(options.exclusions),
    }


def _row(id: int, record: Record, told: Told) -> dict[str, Any]:
    return {
        **_exchange(id, record),
        "result": told.result,
        "side": told.side,
        "score": told.score,
        "threshold": told.threshold,
        "rules": [_match(match) for match in told.matches],
    }


def _exchange(id: int, record: Record) -> dict[str, Any]:
    return {
        "id": id,
        "exchange": record.exchange,
        "started": record.started,
        "client": record.client[0],
        "method": record.method,
        "target": record.target,
        "route": record.route,
        "status": record.status,
    }


def _match(match: Match) -> dict[str, Any]:
    return {"rule": match.rule, "score": match.score, "where": match.where, "message": match.message}


def _top(told: Iterable[tuple[int, Record, Told]]) -> list[dict[str, Any]]:
    """The rules that matched most often."""
    counts: Counter[str] = Counter()
    blocked: Counter[str] = Counter()
    words: dict[str, str] = {}
    for _, _, said in told:
        for rule, message in {match.rule: match.message for match in said.matches}.items():
            counts[rule] += 1
            blocked[rule] += said.result == "blocked"
            words[rule] = message
    return [
        {"rule": rule, "message": words[rule], "count": count, "blocked": blocked[rule]}
        for rule, count in counts.most_common(20)
    ]


def _result(trial: Trial, records: Mapping[int, Record]) -> dict[str, Any]:
    newly, freed = differences(trial.before, trial.after)

    def shown(judged: Sequence[Judged]) -> list[dict[str, Any]]:
        return [
            {
                **_exchange(one.id, records[one.id]),
                "side": one.side,
                "score": one.score,
                "rules": [_match(match) for match in one.matches],
            }
            for one in judged[:MOST_SHOWN]
        ]

    return {
        "tried": len(records),
        "unjudged": trial.unjudged,
        "cut": trial.cut,
        "blocked_before": sum(one.blocked for one in trial.before.values()),
        "blocked_after": sum(one.blocked for one in trial.after.values()),
        "newly_blocked": shown([change.after for change in newly]),
        "newly_freed": shown([change.before for change in freed]),
        "by_rule": [
            {"rule": rule, "message": message, "count": count}
            for rule, message, count in by_rule(trial.after[id] for id in trial.wanted)
        ],
        "freed_by": [_exclusion_shown(one) for one in trial.proposed],
        "proposal": as_text(trial.proposed),
        "freed": len(trial.wanted) - len(trial.left),
        "left": len(trial.left),
    }


def _exclusion_shown(exclusion: Exclusion) -> dict[str, Any]:
    return {"when": exclusion.when, "rules": list(exclusion.rules), "variables": list(exclusion.variables)}
