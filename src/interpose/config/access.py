"""Access rules, as far as they are made from a configuration: which hold where, and who is asked."""

from __future__ import annotations

import base64
from functools import partial

import msgspec

from interpose.config.model import Config, Listener
from interpose.config.outgoing import service_at
from interpose.config.parts import Parts
from interpose.config.scripts import script_of
from interpose.config.step import Step
from interpose.config.urls import page_of
from interpose.core.decision import Decision, Question
from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.handler import Phase
from interpose.core.message import Request
from interpose.core.version import __version__
from interpose.engine.service_client import ServiceClient
from interpose.filters.access.asking import Ask, Asker
from interpose.filters.access.filter import Access
from interpose.filters.access.options import AccessRule, AskOptions
from interpose.filters.access.rules import AccessRules, Hit, Rule
from interpose.filters.hold.holder import Holder
from interpose.filters.meter import Counts
from interpose.filters.script.script import Script

COUNTED_AS, ON_TRIAL = "access", "access on trial"
"""What the hits of rules are counted as: those that decide, and those that would."""


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
    # Asked for with each configuration, or a reload would give up what the rules go on asking.
    asked = [(number, rule.ask) for number, rule in rules if rule.action == "ask" and rule.ask is not None]
    askers = tuple((number, _asker(config, options, parts)) for number, options in asked)
    key = (listener.name, tuple(rules), askers)
    return parts.get(Access, key, partial(_access, rules, dict(askers), parts))


def _access(rules: list[tuple[int, AccessRule]], askers: dict[int, Asker], parts: Parts) -> Access:
    holders = parts.every(Holder)
    asked = AccessRules([Rule(number, rule, _hit(rule, parts)) for number, rule in rules])
    return Access(asked, holders[0].for_script if holders else None, askers)


def _hit(rule: AccessRule, parts: Parts) -> Hit:
    counts = parts.every(Counts)
    name = (ON_TRIAL if rule.dry_run else COUNTED_AS, rule.name or rule.when)
    return counts[0].of(("rule", name), shown=True).hit if counts else _uncounted


def _uncounted() -> None:
    """(where nothing serves: `check`, `explain`)"""


def _asker(config: Config, options: AskOptions, parts: Parts) -> Asker:
    of = _of_service if options.script is None else _of_script
    ask = of(config, options, parts)
    return parts.get(Asker, (options, ask[0]), partial(Asker, options, ask[1]))


def _of_script(config: Config, options: AskOptions, parts: Parts) -> tuple[Script, Ask]:
    assert options.script is not None
    script = script_of(config, options.script, parts)
    if "decision" not in script.answers:
        raise ValueError(f"{options.script}: no function is marked with @interpose.decision")

    async def ask(exchange: Exchange, request: Request, question: Question) -> Decision:
        return await script.decision(exchange, request)

    return script, ask


def _of_service(config: Config, options: AskOptions, parts: Parts) -> tuple[ServiceClient, Ask]:
    service = service_at(config, parts, options.service, timeout_s=options.timeout_s)
    fields = [("Content-Type", "application/json"), ("User-Agent", f"interpose/{__version__}")]
    if (login := page_of(options.service).login) is not None:
        fields.append(("Authorization", f"Basic {base64.b64encode(login).decode()}"))

    async def ask(exchange: Exchange, request: Request, question: Question) -> Decision:
        said = await service.ask(Fields(fields), msgspec.json.encode(question))
        if said.status != 200:
            raise ValueError(f"{options.service.partition('?')[0]} answered {said.status}")
        decision: Decision = msgspec.json.decode(said.content, type=Decision)
        return decision

    return service, ask
