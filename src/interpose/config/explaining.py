"""Why a request is let through or refused: asked of the rules that serve, in a worker, or of a file that nobody runs.

What is said: which access rules were asked, down to the one that decides, and what of the others did not match; which
block list has the address; and what of the listener's own would refuse it, decided or not: its networks, its ports,
the addresses that the host really has. What can be known only when the request comes, by the firewall and by limits, is
named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from interpose.config import access, blocklists, firewall, interception
from interpose.config.authentication_tables import of_listener as authentication_of
from interpose.config.dialling import Dialling
from interpose.config.limit_places import limits_for
from interpose.config.model import OPEN_ROLES, Config, Listener
from interpose.config.parts import Parts
from interpose.config.steps import destination_of, error_answer
from interpose.config.urls import page_of
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request
from interpose.core.networks import Networks
from interpose.core.record import Kind
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Origin, Target
from interpose.engine.association import Judge
from interpose.engine.interception_rules import Action
from interpose.filters.access.rules import AccessRules, Asked
from interpose.filters.destination import Destination
from interpose.net.address import ip_address
from interpose.net.resolve import Resolver
from interpose.protocol.target import parse_authority

TOPIC = b"explain"
JudgeFor = Callable[[Config, Listener], Judge]


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked about. Without `groups` nobody knows them; `listener` "" is the first that has clients."""

    url: str
    client: str = "127.0.0.1"
    user: str | None = None
    groups: list[str] | None = None
    method: str = ""
    listener: str = ""


async def answered(question: bytes, config: Config, parts: Parts, judge_for: JudgeFor) -> bytes:
    """(in a worker) The explanation as JSON; `{"error": a sentence}` for what cannot be asked."""
    try:
        asked = msgspec.json.decode(question, type=Question)
        return msgspec.json.encode(await explanation(asked, config, parts, judge_for))
    except (ValueError, Failure) as error:
        return msgspec.json.encode({"error": error.detail if isinstance(error, Failure) else str(error)})


async def explanation_offline(question: Question, config: Config) -> dict[str, Any]:
    """The explanation by a configuration that nobody runs. ValueError, a sentence, for what cannot be asked."""
    parts = Parts()
    dialling = Dialling(parts, lambda: [listener.address for listener in config.listeners])
    try:
        return await explanation(question, config, parts, dialling.judge_for)
    finally:
        for resolver in parts.every(Resolver):
            await resolver.close()


async def explanation(question: Question, config: Config, parts: Parts, judge_for: JudgeFor) -> dict[str, Any]:
    """See the module. ValueError, a sentence, for what cannot be asked."""
    if ip_address(question.client) is None:
        raise ValueError(f"'{question.client}' is no address of a client; write one such as 10.0.0.7")
    listener = _listener(config, question.listener)
    kind, request = _request(question, listener)
    exchange = Exchange(0, 0, listener.name, Address(question.client, 1), 0.0)
    exchange.user = question.user
    exchange.groups = None if question.groups is None else tuple(question.groups)
    trace: list[Asked] = []
    if access.rules_for(config, listener):
        rules: AccessRules = access.access_of(config, listener, parts).rules
        trace = list(rules.trace(exchange, request, kind))
    return {
        "listener": listener.name,
        "method": request.method,
        "url": str(request.target),
        "client": question.client,
        "user": question.user,
        "groups": question.groups,
        "rules": [_row(asked) for asked in trace],
        "decision": _decision(trace),
        "others": [
            *_of_clients(config, listener, question),
            *_of_lists(config, listener, parts, request),
            *_of_tunnels(config, listener, exchange, request),
            *[one async for one in _of_destination(config, listener, exchange, request, judge_for)],
            *_of_what_comes(config, listener),
        ],
    }


def _listener(config: Config, name: str) -> Listener:
    for listener in config.listeners:
        if listener.name == name or (not name and listener.role in ("proxy", "auto", "gateway", "socks")):
            return listener
    if name:
        raise ValueError(f"there is no listener {name}; there are {', '.join(one.name for one in config.listeners)}")
    raise ValueError("no listener speaks HTTP or SOCKS; name one with --listener")


def _request(question: Question, listener: Listener) -> tuple[str, Request]:
    """The request that is asked about, and what is spoken where that is not HTTP."""
    text = question.url
    if "://" not in text and "/" not in text and ":" in text.rpartition("]")[2]:
        try:
            authority = parse_authority(text.encode("ascii"))
        except (Failure, UnicodeError):
            raise ValueError(f"'{text}' is neither a URL nor host:port") from None
        kind = "" if listener.role in ("proxy", "auto", "gateway") else Kind.TCP.value
        return kind, Request("CONNECT", Target(Form.AUTHORITY, "", authority, ""), Fields())
    if listener.role not in ("proxy", "auto", "gateway"):
        raise ValueError(f"the listener {listener.name} speaks no HTTP; ask about host:port")
    return "", Request(question.method or "GET", page_of(text).target, Fields())


def _row(asked: Asked) -> dict[str, Any]:
    options = asked.rule.options
    return {
        "number": asked.rule.number,
        "name": asked.rule.name,
        "when": options.when,
        "action": options.action,
        "dry_run": options.dry_run,
        "matched": asked.matched,
        "reasons": [{"part": reason.part, "found": reason.found} for reason in asked.reasons],
    }


def _decision(trace: list[Asked]) -> dict[str, Any]:
    for asked in trace:
        options = asked.rule.options
        if asked.matched and not options.dry_run:
            denies = options.action == "deny"
            return {
                "action": options.action,
                "rule": asked.rule.number,
                "name": asked.rule.name,
                "status": options.status if denies else None,
                "message": options.message if denies else "",
            }
    return {"action": "allow", "rule": None, "name": "", "status": None, "message": ""}


def _other(by: str, why: str, *, refuses: bool = True) -> dict[str, Any]:
    return {"by": by, "why": why, "refuses": refuses}


def _of_clients(config: Config, listener: Listener, question: Question) -> Iterator[dict[str, Any]]:
    if listener.allow_from and question.client not in Networks(listener.allow_from):
        yield _other("allow_from", f"{question.client} is in none of the networks that this listener serves.")
    if question.user is None and authentication_of(config, listener):
        yield _other("authentication", "The client would be asked who it is first.", refuses=False)


def _of_lists(config: Config, listener: Listener, parts: Parts, request: Request) -> Iterator[dict[str, Any]]:
    if blocklists.lists_for(config, listener):
        filter_ = blocklists.block_lists_of(config, listener, parts, error_answer(config, listener))
        blocked = filter_.lists.find(request)
        if blocked is not None:
            yield _other("blocklist", f"The block list “{blocked.options.name}” has it: {blocked.rule}")


def _of_tunnels(config: Config, listener: Listener, exchange: Exchange, request: Request) -> Iterator[dict[str, Any]]:
    """Whether its TLS is looked into."""
    origin = request.target.origin
    if request.target.form is Form.AUTHORITY or request.target.scheme == "https":
        decision = interception.explained(config, listener, exchange, Authority(origin.host, origin.port))
        if decision is not None:
            words = {Action.REFUSE: "refused", Action.PASS: "let through unread", Action.INTERCEPT: "looked into"}
            why = f"Its tunnel would be {words[decision.action]}: {decision.why}."
            yield _other("interception", why, refuses=decision.action is Action.REFUSE)


def _of_what_comes(config: Config, listener: Listener) -> Iterator[dict[str, Any]]:
    """Who decides by more than is asked about here."""
    if any(firewall.options_for(config, listener, route) for route in (None, *config.routes)):
        yield _other("firewall", "The firewall inspects it; see `interpose firewall try`.", refuses=False)
    counting = [rule.name for rule in limits_for(config, listener) if not rule.only_by_rule]
    if counting:
        yield _other("limit", f"Limits count it, where they mean it: {', '.join(counting)}.", refuses=False)


async def _of_destination(
    config: Config, listener: Listener, exchange: Exchange, request: Request, judge_for: JudgeFor
) -> Any:
    """What the listener's ports and the host's addresses say; the host is looked up."""
    if listener.role not in OPEN_ROLES:
        return
    ports = Destination(destination_of(config, listener))
    try:
        ports.judge(exchange, request.target)
    except Failure as failure:
        yield _other("connect_ports", failure.detail)
    authority: Authority = request.target.authority
    port = request.target.origin.port if request.target.form is not Form.AUTHORITY else authority.port or 443
    try:
        await judge_for(config, listener)(Origin("tcp", authority.host, port))
    except Failure as failure:
        prohibits = failure.kind in ("destination_ip_prohibited", "proxy_loop_detected")
        yield _other("addresses" if prohibits else "names", failure.detail)
