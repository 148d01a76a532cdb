"""The filter (phase EDIT): gives each client its variants, and notes what it comes to.

Which variant that is needs nothing but the client's key, so all workers and machines give the same one. What is chosen
is told to servers in fields that clients cannot set, is in the notes of the exchange, and is in the key of a cache
wherever it may change the answer. Answers are marked for caches beyond us: one that sets a cookie is for one client,
others depend on the cookie.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from interpose.core.exchange import Exchange
from interpose.core.experiment.assignment import HELD_OUT
from interpose.core.fields import Fields, field_line
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.query.live import Live
from interpose.core.tapped_body import Clock
from interpose.filters.experiment.choosing import completed
from interpose.filters.experiment.posting import posted
from interpose.filters.experiment.shown import Ending, Shown
from interpose.filters.experiment.trial import GoalRule, Trial, set_lines
from interpose.filters.experiment.units import Units
from interpose.filters.experiment.value import JsonContent, value_in_field

_PRIVATE: Final = field_line("Cache-Control", "private")
_BY_COOKIE: Final = field_line("Vary", "Cookie")


class Experiments:
    """The filter. `names` are those of all experiments: what clients say of them is taken off."""

    def __init__(self, trials: Sequence[Trial], names: Sequence[str], clock: Clock) -> None:
        self._trials = tuple(trials)
        self._own = frozenset([f"experiment-{name}".lower().encode("ascii") for name in names])
        self._has_goals = any(trial.goals for trial in trials)
        self._post_paths = frozenset([trial.post_path for trial in trials if trial.post_path])
        varying = [trial for trial in trials if trial.exposes and trial.varies_answers and trial.for_all is None]
        self._is_by_cookie = any(trial.cookie for trial in varying)
        self._is_private = not all(trial.cookie for trial in varying)
        self._clock = clock

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """See `core.handler.Filter`."""
        units = Units(exchange, request)
        if request.target.path in self._post_paths and request.method == "POST":
            keys = [(trial, units.known(trial)) for trial in self._trials]
            return await posted([(trial, key) for trial, key in keys if key is not None], request)
        shown = [one for trial in self._trials if (one := self._shown(trial, exchange, request, units)) is not None]
        own = self._own
        lines = request.fields.lines
        for line in lines:
            if line[0] in own:
                lines = request.fields.lines = [line for line in lines if line[0] not in own]
                break
        if not shown:
            response = await forward(exchange, request)
            self._mark(response, shown, units)
            return response
        asked = request
        if self._has_goals:  # they are about what was asked, whatever becomes of it on its way
            asked = Request(
                request.method, request.target, Fields.of(lines), request.body, request.version, request.received
            )
            request.fields.lines = [*lines]
        for one in shown:
            if one.is_given:
                _give(exchange, request, one)
        if self._has_goals:
            for one in shown:
                _look_for_goals(exchange, asked, one)
        ending = Ending(exchange, shown)
        exchange.at_end(ending)
        response = await forward(exchange, request)
        for one in shown:
            for goal in one.goals:
                self._reach(exchange, asked, response, one, goal, ending)
        self._mark(response, shown, units)
        return response

    @staticmethod
    def _shown(trial: Trial, exchange: Exchange, request: Request, units: Units) -> Shown | None:
        """What the experiment does with this exchange; None when nothing."""
        if not trial.exposes and not trial.goals:  # here it only takes posts
            return None
        if trial.choosing is not None and (choice := trial.choosing.chosen(exchange, request)) is not None:
            levels = completed(choice.levels, trial.control)
            variant = trial.assignment.number_of(levels) if choice.levels else None
            units.remember(trial, choice, variant)
            if variant is not None:
                return Shown(trial, variant, b"", is_given=True) if trial.exposes else None
        if "replay_of" in exchange.notes:  # somebody looks at something once more: that is no client
            return None
        is_given = trial.exposes and (
            trial.audience is None
            or trial.audience.matches(Live(exchange, request, time=time.time(), route=exchange.route))
        )
        if trial.for_all is not None:
            return Shown(trial, trial.for_all, b"", is_given=True) if is_given else None
        key = units.known(trial)
        if key is None and is_given:
            key = units.made(trial)
        if key is None:
            return None
        place = trial.assignment.place(key)
        if place.variant >= 0:
            return Shown(trial, place.variant, b"" if trial.is_promoted else place.unit, is_given=is_given)
        if is_given and place.variant == HELD_OUT and not trial.is_promoted:
            trial.page.expose(place.unit, place.variant)
        return None

    def _reach(
        self, exchange: Exchange, asked: Request, response: Response, one: Shown, goal: GoalRule, ending: Ending
    ) -> None:
        """Note that the unit has come to the goal, if it has, now or as soon as its value is known."""
        if not goal.matches(Live(exchange, asked, response, time=time.time(), route=exchange.route)):
            return
        if goal.took:
            ending.later.append((one, goal, None))
        elif goal.pointer is not None:
            ending.later.append((one, goal, JsonContent(response, goal.max_json_bytes, self._clock)))
        else:
            value = value_in_field(response, goal.field) if goal.field else 1.0
            if value is not None:
                one.trial.page.reach(one.unit, goal.name, goal.kind, value)

    def _mark(self, response: Response, shown: Sequence[Shown], units: Units) -> None:
        """Let the answer be what the variants make of it, and say to caches beyond us what it depends on: those of
        clients that take no part are none for the others either."""
        for one in shown:
            if one.is_given and (lines := one.change.response_lines):
                set_lines(response, lines)
        response.fields.lines += units.lines
        is_tested = any(not one.unit and one.trial.for_all is None for one in shown)
        if self._is_private or units.lines or is_tested:
            response.fields.lines.append(_PRIVATE)
        if self._is_by_cookie:
            response.fields.lines.append(_BY_COOKIE)


def _give(exchange: Exchange, request: Request, one: Shown) -> None:
    """Let the request be what the variant makes of it."""
    change = one.change
    if one.unit:
        one.trial.page.expose(one.unit, one.variant)
    exchange.notes.update(change.notes)
    if change.told is not None:
        request.fields.lines.append(change.told)
    if change.request_lines:
        set_lines(request, change.request_lines)
    if change.prefix and request.target.path.startswith("/"):
        request.target = request.target._replace(path=change.prefix + request.target.path)
    if change.upstream:
        exchange.upstream = change.upstream
    if change.representation is not None:
        exchange.representation = (*exchange.representation, change.representation)


def _look_for_goals(exchange: Exchange, asked: Request, one: Shown) -> None:
    """Keep the goals that this request may come to, as far as it can be said before the answer is there."""
    if one.unit:
        subject = Live(exchange, asked, time=time.time(), route=exchange.route)
        one.goals = [goal for goal in one.trial.goals if goal.may_match(subject)]
