"""Access rules, as far as they are made from a configuration: which hold where, and who is asked."""

from __future__ import annotations

import base64
from functools import partial

import msgspec

from interpose.config.client import ReachOptions, own_exchange, requesting
from interpose.config.model import Config, Listener
from interpose.config.parts import Parts
from interpose.config.scripts import script_of
from interpose.config.step import Step
from interpose.config.urls import Page, page_of
from interpose.core.body import Body
from interpose.core.decision import Decision, Question
from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.handler import Phase
from interpose.core.message import Request
from interpose.core.version import __version__
from interpose.filters.access.asking import Ask, Asker
from interpose.filters.access.filter import Access
from interpose.filters.access.options import AccessRule, AskOptions
from interpose.filters.access.rules import AccessRules, Hit, Rule
from interpose.filters.hold.holder import Holder
from interpose.filters.meter import Counts

COUNTED_AS, ON_TRIAL = "access", "access on trial"
"""What the hits of rules are counted as: those that decide, and those that would."""

MOST_ANSWERED_BYTES = 65_536


def rules_for(config: Config, listener: Listener) -> list[tuple[int, AccessRule]]:
    """The rules of `listener`, each with its number in the configuration."""
    return [
        (number, rule)
        for number, rule in enumerate(config.access, 1)
        if (not listener.udp and not rule.listeners) or listener.name in rule.listeners
    ]


def steps_of(config: Config, listener: Listener, parts: Parts) -> list[Step]:
    """The filter that carries them out, where there are any."""
    rules = rules_for(config, listener)
    make = partial(access_of, config, listener, parts)
    return [Step(Phase.ADMIT, "access", in_words(rules), make)] if rules else []


def in_words(rules: list[tuple[int, AccessRule]]) -> str:
    """The rules, for people."""
    shown = [f"{rule.action} {rule.name or rule.when}" + " (on trial)" * rule.dry_run for _, rule in rules[:5]]
    return "; ".join([*shown, *([f"and {len(rules) - 5} more"] if len(rules) > 5 else [])])


def holds(config: Config) -> bool:
    """Whether a rule has somebody look at requests."""
    return any(rule.action == "hold" for rule in config.access)


def access_of(config: Config, listener: Listener, parts: Parts) -> Access:
    """What carries out the rules of `listener`. ValueError where a script cannot be loaded."""
    rules = rules_for(config, listener)
    key = (listener.name, tuple(rules))
    return parts.get(Access, key, partial(_access, rules, parts))


def _access(rules: list[tuple[int, AccessRule]], parts: Parts) -> Access:
    holders = parts.every(Holder)
    askers = {number: _asker(rule.ask, parts) for number, rule in rules if rule.action == "ask" and rule.ask}
    asked = AccessRules([Rule(number, rule, _hit(rule, parts)) for number, rule in rules])
    return Access(asked, holders[0].for_script if holders else None, askers)


def _hit(rule: AccessRule, parts: Parts) -> Hit:
    counts = parts.every(Counts)
    name = (ON_TRIAL if rule.dry_run else COUNTED_AS, rule.name or rule.when)
    return counts[0].of(("rule", name), shown=True).hit if counts else _uncounted


def _uncounted() -> None:
    """(where nothing serves: `check`, `explain`)"""


def _asker(options: AskOptions, parts: Parts) -> Asker:
    if options.script is not None:
        script = script_of(options.script, parts)
        if not script.decides:
            raise ValueError(f"{options.script}: no function is marked with @interpose.decision")

        async def ask(exchange: Exchange, request: Request, question: Question) -> Decision:
            return await script.decision(exchange, request)

        return parts.get(Asker, options, partial(Asker, options, ask))
    return parts.get(Asker, options, partial(Asker, options, _service(options)))


def _service(options: AskOptions) -> Ask:
    page = page_of(options.service)

    async def ask(exchange: Exchange, request: Request, question: Question) -> Decision:
        return await posted(page, question, options.timeout_s)

    return ask


async def posted(page: Page, question: Question, timeout_s: float) -> Decision:
    """What the service at `page` answers. `Failure` or ValueError when that is no decision."""
    fields = Fields([("Content-Type", "application/json"), ("User-Agent", f"interpose/{__version__}")])
    if page.login is not None:
        fields.set("Authorization", b"Basic " + base64.b64encode(page.login))
    request = Request("POST", page.target, fields, Body(msgspec.json.encode(question)))
    reach = ReachOptions(connect_timeout_s=timeout_s)
    async with requesting(reach, silence_s=timeout_s) as ask:
        response = await ask(own_exchange(0.0), request)
        content = await response.body.read(MOST_ANSWERED_BYTES)
    if response.status != 200:
        raise ValueError(f"it answered {response.status}")
    decision: Decision = msgspec.json.decode(content, type=Decision)
    return decision
