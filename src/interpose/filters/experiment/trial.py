"""One experiment on one route: what each of its variants changes, and what its clients may come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from interpose.core.exchange import VARIANT, Exchange
from interpose.core.experiment.assignment import Assignment
from interpose.core.experiment.design import Design, Levels
from interpose.core.experiment.requests import Kind
from interpose.core.experiment.value_place import FIELD, JSON, TOOK, pointer_of
from interpose.core.fields import FieldLine, field_line
from interpose.core.message import Request, Response
from interpose.core.query import Matcher, Subject
from interpose.filters.experiment.choosing import Choosing
from interpose.filters.experiment.notebook import Page
from interpose.filters.experiment.options import Experiment, Level


class Change(NamedTuple):
    """What one variant changes. `told` is the field that servers are told of it with."""

    notes: dict[str, str]
    told: FieldLine | None
    request_lines: tuple[FieldLine, ...]
    response_lines: tuple[FieldLine, ...]
    prefix: str
    upstream: str
    representation: tuple[str, str] | None
    """Of a cache's key; None where the answer is the same as without it."""


class GoalRule(NamedTuple):
    """A goal that can be asked. `field` and `pointer` are where its value is."""

    name: str
    kind: Kind
    matcher: Matcher | None
    took: bool
    field: str
    pointer: tuple[str, ...] | None
    max_json_bytes: int

    def may_match(self, subject: Subject) -> bool:
        """Whether what is known of an exchange leaves it open."""
        return self.matcher is not None and self.matcher.decide(subject) is not False

    def matches(self, subject: Subject) -> bool:
        """Whether the exchange is one with which a unit comes to it."""
        return self.matcher is not None and self.matcher.matches(subject)


class Trial:
    """See the module. `exposes`: clients get their variants on this route; on others they only come to goals.
    `for_all`: everybody gets this variant, whoever it is."""

    __slots__ = (
        "assignment", "audience", "changes", "choosing", "control", "cookie", "cookie_age_s", "design", "exposes",
        "for_all", "goals", "is_of_users", "is_promoted", "name", "page", "post_path", "posted", "varies_answers",
    )  # fmt: skip

    def __init__(
        self,
        options: Experiment,
        design: Design,
        page: Page,
        *,
        exposes: bool,
        audience: Matcher | None,
        goals: Sequence[GoalRule],
        choosing: Choosing | None,
    ) -> None:
        self.name = options.name
        self.design = design
        self.page = page
        self.exposes = exposes
        self.audience = audience
        self.choosing = choosing
        self.assignment = Assignment(design)
        self.control = self.assignment.variants[0].levels
        self.is_promoted = bool(design.promoted)
        self.for_all = self.assignment.number_of(design.promoted) if self.is_promoted and not design.holdout else None
        self.is_of_users = options.unit == "user"
        self.cookie = options.cookie.encode("ascii") if options.unit == "cookie" else b""
        self.cookie_age_s = options.cookie_age_s
        self.changes = [change_of(options, variant.levels) for variant in self.assignment.variants]
        self.varies_answers = any(
            change.representation or change.response_lines or change.prefix for change in self.changes
        )
        self.goals = [goal for goal in goals if goal.matcher is not None]
        self.posted = {goal.name: goal for goal in goals if goal.matcher is None}
        self.post_path = options.post_path

    def unit(self, exchange: Exchange) -> bytes | None:
        """The key of a unit that is no cookie; None when nobody knows it."""
        text = exchange.user if self.is_of_users else exchange.client.host
        return text.encode("utf-8", "surrogateescape") if text else None


def change_of(options: Experiment, levels: Levels) -> Change:
    """What the variant of these levels changes."""
    chosen = [_level(options, factor, level) for factor, level in levels]
    value = ", ".join([f"{factor}={level}" for factor, level in levels])
    request_lines = tuple(_line(text) for level in chosen for text in level.request_fields)
    upstream = next((level.upstream for level in reversed(chosen) if level.upstream), "")
    return Change(
        notes={f"{VARIANT}{factor}": level for factor, level in levels},
        told=field_line(f"Experiment-{options.name}", value) if options.tell_upstream else None,
        request_lines=request_lines,
        response_lines=tuple(_line(text) for level in chosen for text in level.response_fields),
        prefix="".join([level.prefix.rstrip("/") for level in chosen]),
        upstream=upstream,
        representation=(f"experiment-{options.name}", value)
        if options.tell_upstream or request_lines or upstream
        else None,
    )


def goal_rules(options: Experiment, matchers: Sequence[Matcher | None]) -> list[GoalRule]:
    """The goals with their matchers, in the same order."""
    rules = []
    for goal, matcher in zip(options.goals, matchers, strict=True):
        value = goal.value
        rules.append(
            GoalRule(
                name=goal.name,
                kind=goal.kind,
                matcher=matcher,
                took=value == TOOK,
                field=value.removeprefix(FIELD) if value.startswith(FIELD) else "",
                pointer=tuple(pointer_of(value.removeprefix(JSON))) if value.startswith(JSON) else None,
                max_json_bytes=goal.max_json_bytes,
            )
        )
    return rules


def set_lines(message: Request | Response, lines: tuple[FieldLine, ...]) -> None:
    """Have these field lines in the place of others of the same names."""
    keys = [line[0] for line in lines]
    message.fields.lines = [line for line in message.fields.lines if line[0] not in keys] + [*lines]


def _level(options: Experiment, factor: str, level: str) -> Level:
    (found,) = [one for table in options.factors if table.name == factor for one in table.levels if one.name == level]
    return found


def _line(text: str) -> FieldLine:
    name, _, value = text.partition(":")
    return field_line(name, value.strip(" \t"))
