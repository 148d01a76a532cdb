"""The filters of a listener and of a route, in the order of their phases.

`interpose check` prints these steps and `build.handlers_of` builds from them, so that what is printed is what runs.
"""

from __future__ import annotations

import asyncio
from functools import partial

from interpose.config import (
    access,
    authentication,
    blocklists,
    compression,
    desk,
    edits,
    error_pages,
    experiments,
    firewall,
    limiting,
    metering,
    privacy,
    routing,
    scripts,
)
from interpose.config.authentication_tables import of_listener as authentication_of
from interpose.config.caches import cache_filter, cache_in_words, cache_of
from interpose.config.certificates import client_fields_step, tls_steps
from interpose.config.faults import exchange_chances, in_words
from interpose.config.interception import is_intercepted
from interpose.config.interception_steps import asked_outside, interception_steps, with_certificate
from interpose.config.model import (
    OPEN_ROLES,
    Config,
    Listener,
    Route,
)
from interpose.config.parts import Parts
from interpose.config.step import Step as Step
from interpose.config.tracing import trace_step
from interpose.core.handler import Phase
from interpose.core.target import Authority
from interpose.engine.records import Records
from interpose.filters.access_log import AccessLog
from interpose.filters.allow import Allow, AllowOptions
from interpose.filters.authentication.filter import Authentication
from interpose.filters.destination import Destination, DestinationOptions
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.filters.error_pages import OwnErrors
from interpose.filters.faults import Faults
from interpose.filters.forwarding import Forwarding, ForwardingOptions
from interpose.filters.limits import Limit, LimitOptions
from interpose.filters.meter import Meter
from interpose.filters.own_page import OwnPage
from interpose.filters.path import PathCheck, PathOptions
from interpose.filters.recorder import Recorder
from interpose.filters.server_timing import ServerTiming
from interpose.filters.setup_page import SetupPage, SetupPageOptions
from interpose.net.address import parse_address
from interpose.storage.line_writer import LineWriter


def listener_steps(config: Config, listener: Listener, parts: Parts) -> list[Step]:
    """The filters of a listener: OBSERVE and ADMIT."""
    is_proxy = listener.role in OPEN_ROLES
    limits = config.limits_of(listener)
    steps: list[Step] = []

    if config.log.access != "off":
        steps.append(Step(Phase.OBSERVE, "access log", config.log.access, lambda: access_log(config, parts)))
    if config.journal is not None:
        kept = config.journal.max_body_bytes
        steps.append(Step(Phase.OBSERVE, "recorder", f"{kept} bytes of each body", lambda: recorder(config, parts)))
    if config.metrics is not None:
        steps.append(Step(Phase.OBSERVE, "meter", "/metrics", lambda: meter(config, listener, parts)))
    if (traces := config.traces) is not None:
        steps.append(trace_step(config, traces, parts))
        if traces.server_timing:
            steps.append(Step(Phase.OBSERVE, "server timing", "Server-Timing", server_timing))
    steps += tls_steps(config, listener, parts)
    steps += interception_steps(config, listener, parts)
    if listener.allow_from:
        networks = listener.allow_from
        steps.append(Step(Phase.ADMIT, "allow", ", ".join(networks), lambda: Allow(AllowOptions(allow_from=networks))))
    if is_proxy:
        make = partial(own_page, config, listener, parts)
        steps.append(Step(Phase.ADMIT, "own page", "/ and /proxy.pac", make))
    first_who = len(steps)
    steps += authentication.listener_steps(config, listener, parts, error_answer(config, listener))
    steps += access.steps_of(config, listener, parts)
    steps += blocklists.steps_of(config, listener, parts, error_answer(config, listener))
    steps += limiting.steps_of(config, listener, parts, error_answer(config, listener))
    if limits.max_body_bytes or limits.max_exchanges_per_client:
        options = LimitOptions(
            max_body_bytes=limits.max_body_bytes, max_exchanges_per_client=limits.max_exchanges_per_client
        )
        steps.append(
            Step(
                Phase.ADMIT,
                "limits",
                _limits_in_words(options),
                lambda: parts.get(Limit, (options, listener.name), lambda: Limit(options)),
            )
        )
    way = ForwardingOptions(
        pseudonym=config.process.pseudonym,
        identity=not is_proxy,
        trusted=listener.trusted,
    )
    trusts = f"trusts {', '.join(listener.trusted)}" if listener.trusted else "trusts nobody"
    detail = f"Via {way.pseudonym}" if is_proxy else f"Via {way.pseudonym}, X-Forwarded-*, Forwarded; {trusts}"
    place = first_who if authentication.is_told_by_fields(config, listener) else len(steps)
    steps.insert(place, Step(Phase.ADMIT, "forwarding", detail, lambda: Forwarding(way)))
    steps += client_fields_step(config, listener, parts)
    if is_proxy:
        steps.append(destination_step(config, listener))
    steps += scripts.listener_steps(config, listener, parts)
    return sorted(asked_outside(config, listener, steps), key=lambda step: step.phase)


def destination_step(config: Config, listener: Listener) -> Step:
    """The filter that knows where tunnels may lead."""
    ports = destination_of(config, listener)
    named = ", ".join(map(str, ports.connect_ports)) if ports.connect_ports else "any port but 22, 25, 465, 587, 6379"
    return Step(Phase.ADMIT, "destination", f"CONNECT to {named}", lambda: Destination(ports))


def route_steps(config: Config, listener: Listener, route: Route | None, parts: Parts) -> list[Step]:
    """The filters of a route: what is left of ADMIT, and all further phases. A proxy has one route, None.

    Faults are the innermost of ADMIT: only what is let in fails, and nothing behind them can heal or keep a failure.
    """
    edited = edits.edits_for(config, listener, route)
    steps = edits.content_steps(edited)
    if route is not None:
        paths = PathOptions(encoded_slash=route.encoded_slash)
        detail = f"encoded slash: {paths.encoded_slash}"
        steps.append(Step(Phase.ADMIT, "path", detail, lambda: PathCheck(paths)))
        steps += routing.admit_steps(route)
        steps += authentication.route_steps(config, route, parts, error_answer(config, listener))
        steps += scripts.route_steps(config, listener, route, parts)
    for chances in exchange_chances(listener, route, parts):
        steps.append(Step(Phase.ADMIT, "faults", in_words(chances.faults), partial(Faults, chances)))
    steps += scripts.inner_steps(config, listener, parts)
    if rules := desk.rules_for(config, listener):
        steps.append(
            Step(Phase.EDIT, "hold", desk.in_words(rules), partial(desk.hold_filter, listener, route, parts, rules))
        )
    if (inspected := firewall.options_for(config, listener, route)) is not None:
        make = partial(firewall.firewall_filter, inspected, parts)
        steps.append(Step(Phase.INSPECT, "firewall", firewall.in_words(inspected), make))
    cache = cache_of(config, listener, route)
    if cache is not None:
        make = partial(cache_filter, config, cache, listener, route, parts)
        steps.append(Step(Phase.STORE, "cache", cache_in_words(cache, route), make))
    if (options := compression.options_for(listener, route)) is not None:
        reads = any(step.phase in (Phase.INSPECT, Phase.EDIT) for step in steps)
        make = partial(compression.compression_filter, config, options, cache, parts, reads=reads)
        steps.append(Step(Phase.SHAPE, "compression", compression.in_words(options, reads=reads), make))
    # What stands behind these in their phase sees what the server will.
    steps = edits.query_steps(edited) + edits.field_steps(edited) + privacy.steps_of(config, listener) + steps
    if route is not None:
        steps = experiments.steps_of(config, route, parts) + steps
        steps = error_pages.intercepting_steps(config, listener, route) + routing.edit_steps(route) + steps
    return sorted(steps, key=lambda step: step.phase)


def routes_of(config: Config, listener: Listener) -> list[Route]:
    """The routes of a gateway, its catch-all last."""
    routes = [route for route in config.routes if not route.listeners or listener.name in route.listeners]
    if listener.upstream:
        routes.append(Route(name="everything else" if routes else "every request", upstream=listener.upstream))
    return routes


def destination_of(config: Config, listener: Listener) -> DestinationOptions:
    """The ports of CONNECT: what the listener says, else by how far it can be reached."""
    if listener.connect_ports is not None:
        return DestinationOptions(connect_ports=listener.connect_ports)
    return DestinationOptions(connect_ports=None if is_loopback_only(listener) else (443,))


def users_of(config: Config, listener: Listener, parts: Parts) -> Authentication:
    """Who may use the listener: the same for every protocol that it speaks."""
    tables, render = authentication_of(config, listener), error_answer(config, listener)
    return authentication.asked(config, tables, parts, render, proxy=True, is_behind=False)


def is_loopback_only(listener: Listener) -> bool:
    """Whether only programs of this machine can reach the listener."""
    address = parse_address(listener.address)
    return address.is_unix or address.is_loopback


def error_answer(config: Config, listener: Listener) -> ErrorAnswer | OwnErrors:
    """What makes the answers that tell clients about failures. A gateway does not name its servers to the world."""
    show_detail = listener.role in OPEN_ROLES or is_loopback_only(listener)
    options = ErrorAnswerOptions(
        pseudonym=config.process.pseudonym, show_detail=show_detail, is_chosen=listener.role in OPEN_ROLES
    )
    answer = ErrorAnswer(options)
    return error_pages.with_pages(config, listener, answer)


def own_page(config: Config, listener: Listener, parts: Parts) -> OwnPage:
    """What answers requests for a proxy itself."""
    page = privacy.with_privacy(config, listener, setup_page(config, listener))
    return OwnPage(with_certificate(config, listener, parts, page))


def setup_page(config: Config, listener: Listener) -> SetupPage:
    """The page of a proxy about itself."""
    address = parse_address(listener.address)
    options = SetupPageOptions(
        pac_exceptions=listener.pac_exceptions,
        looks_into_tls=is_intercepted(config, listener),
        asks_for_password=any(one.kind == "passwords" for one in authentication_of(config, listener)),
        shows_privacy=bool(privacy.rules_for(config, listener)),
        pseudonym=config.process.pseudonym,
    )
    return SetupPage(options, Authority("localhost" if address.is_unix else address.host, address.port or None))


def access_log(config: Config, parts: Parts) -> AccessLog:
    """The access log's filter; its writer is shared by all listeners."""
    target = config.log.access
    writer = parts.get(LineWriter, target, lambda: LineWriter(target))
    return parts.get(
        AccessLog,
        (target, config.log.format),
        lambda: AccessLog(config.log.format, writer.write),
    )


def recorder(config: Config, parts: Parts) -> Recorder:
    """What records exchanges for the journal."""
    assert config.journal is not None
    kept = config.journal.max_body_bytes
    (records,) = parts.every(Records)
    return parts.get(Recorder, kept, lambda: Recorder(kept, records.tell))


def meter(config: Config, listener: Listener, parts: Parts) -> Meter:
    """What counts the exchanges of `listener`."""
    return metering.meter(config, listener, [] if listener.role in OPEN_ROLES else routes_of(config, listener), parts)


def server_timing() -> ServerTiming:
    """What says how long answers took, by the clock of this loop."""
    return ServerTiming(asyncio.get_running_loop().time)


def _limits_in_words(options: LimitOptions) -> str:
    words = []
    if options.max_body_bytes:
        words.append(f"content up to {options.max_body_bytes} bytes")
    if options.max_exchanges_per_client:
        words.append(f"{options.max_exchanges_per_client} exchanges per client")
    return ", ".join(words)
