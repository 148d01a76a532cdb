"""From a configuration to what runs: the only place where filters, handlers and servers are constructed.

`chains` gives, for each listener, the handler that answers its requests: its filters in the order of their phases,
around its router or its end. The order is decided by `listener_steps` and `route_steps`, which `interpose check`
prints and `chains` builds from, so that what is printed is what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from interpose.config.caches import cache_filter, cache_in_words, cache_of
from interpose.config.faults import exchange_chances, in_words, of_connections
from interpose.config.kinds import address_of
from interpose.config.model import (
    HTTP_ROLES,
    OPEN_ROLES,
    Answer,
    Config,
    Listener,
    Route,
    Script,
    Upstream,
)
from interpose.config.parts import Parts
from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.handler import Filter, Handler, Phase, chain
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Origin
from interpose.engine.association import Judge
from interpose.engine.client import Dial, GroupClient, OriginClient, UpstreamClient
from interpose.engine.records import Records
from interpose.engine.router import Match, Router
from interpose.engine.tunnel import Tunnels
from interpose.filters.access_log import AccessLog
from interpose.filters.allow import Allow, AllowOptions
from interpose.filters.auth import Auth, AuthOptions
from interpose.filters.destination import Destination, DestinationOptions
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.filters.faults import Faults
from interpose.filters.forwarding import Forwarding, ForwardingOptions
from interpose.filters.limits import Limit, LimitOptions
from interpose.filters.own_page import OwnPage
from interpose.filters.path import PathCheck, PathOptions
from interpose.filters.recorder import Recorder, RecorderOptions
from interpose.filters.script import Script as ScriptFile
from interpose.filters.script import ScriptOptions
from interpose.filters.setup_page import SetupPage, SetupPageOptions
from interpose.net.address import parse_address
from interpose.net.policy import AddressPolicy
from interpose.protocol.head import HeadParser
from interpose.storage.line_writer import LineWriter

GATEWAY_ANSWER_TIMEOUT_S = 60.0
PROXY_ANSWER_TIMEOUT_S = 300.0
SOCKS_STEPS = ("access log", "allow", "auth", "destination")
"""What decides about a SOCKS request, in this order, by the parts that the filters of these names are made of."""


class Step(NamedTuple):
    """One filter in its place: what `check` prints (nothing without `detail`), and how it is made."""

    phase: Phase
    name: str
    detail: str
    make: Callable[[], Filter]


class RoutePlan(NamedTuple):
    """What happens to the requests of one route of one listener, for people."""

    listener: str
    route: str
    steps: list[tuple[str, str, str]]
    end: str


class Means:
    """What filters and clients are made with: long-lived parts, and how to reach origins.

    `dial_for` makes a dialler for a listener's policy or an upstream's servers, `judge_for` what only tells addresses.
    """

    def __init__(
        self,
        parts: Parts,
        dial_for: Callable[[Config, Listener | Upstream], Dial],
        judge_for: Callable[[Config, Listener], Judge],
        tunnels: Tunnels,
        parser: HeadParser,
    ) -> None:
        self.parts = parts
        self.dial_for = dial_for
        self.judge_for = judge_for
        self.tunnels = tunnels
        self.parser = parser


def plan(config: Config) -> list[RoutePlan]:
    """Every route of every listener with its filters in order. ValueError where a file that they need is broken."""
    plans = []
    parts = Parts()
    for listener in config.listeners:
        if listener.role not in (*HTTP_ROLES, *OPEN_ROLES):
            what = "every datagram" if listener.udp else "every connection"
            plans.append(RoutePlan(listener.name, what, _connection_steps(listener), listener.role))
            continue
        if of_connections(listener):
            plans.append(RoutePlan(listener.name, "every connection", _connection_steps(listener), listener.role))
        outer = listener_steps(config, listener, parts)
        for step in outer:
            if step.name in ("auth", "script"):
                step.make()
        if listener.role in ("socks", "auto"):
            spoken = [step for step in outer if step.name in SOCKS_STEPS]
            plans.append(_plan(listener, "every SOCKS request", spoken, "the server that the client names"))
        if listener.role in ("proxy", "auto"):
            every = "every request" if listener.role == "proxy" else "every HTTP request"
            inner = route_steps(config, listener, None, parts)
            plans.append(_plan(listener, every, outer + inner, "the server that the client names"))
        if listener.role in OPEN_ROLES:
            continue
        for route in routes_of(config, listener):
            inner = route_steps(config, listener, route, parts)
            end = f"answer {route.answer.status}" if route.answer else f"upstream {route.upstream}"
            plans.append(_plan(listener, route.name, outer + inner, end))
    return plans


def _plan(listener: Listener, route: str, steps: list[Step], end: str) -> RoutePlan:
    return RoutePlan(
        listener.name, route, [(step.phase.name, step.name, step.detail) for step in steps if step.detail], end
    )


def _connection_steps(listener: Listener) -> list[tuple[str, str, str]]:
    """What stands before the server of a listener, for people."""
    faults = listener.faults if listener.udp else of_connections(listener)
    return [("DATAGRAM" if listener.udp else "CONNECTION", "faults", in_words(faults))] if faults else []


def handler_of(config: Config, listener: Listener, means: Means) -> Handler:
    """The handler for everything that reaches `listener`."""
    if listener.role in OPEN_ROLES:
        end = proxy_end(config, listener, means)
        inner = chain([step.make() for step in route_steps(config, listener, None, means.parts)], end)
    else:
        routes = []
        for route in routes_of(config, listener):
            end = route_end(config, route, means)
            steps = route_steps(config, listener, route, means.parts)
            match = Match(route.hosts, route.path, route.exact, route.methods, route.name)
            routes.append((match, chain([step.make() for step in steps], end)))
        takes_all = len(routes) == 1 and routes[0][0]._replace(name="") == Match()
        inner = routes[0][1] if takes_all else Router(routes)
    return chain([step.make() for step in listener_steps(config, listener, means.parts)], inner)


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
    if listener.allow_from:
        networks = listener.allow_from
        steps.append(Step(Phase.ADMIT, "allow", ", ".join(networks), lambda: Allow(AllowOptions(allow_from=networks))))
    if is_proxy:
        steps.append(Step(Phase.ADMIT, "own page", "/ and /proxy.pac", lambda: OwnPage(setup_page(config, listener))))
    if listener.auth is not None:
        steps.append(Step(Phase.ADMIT, "auth", f"users in {listener.auth}", lambda: users_of(config, listener, parts)))
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
    steps.append(Step(Phase.ADMIT, "forwarding", detail, lambda: Forwarding(way)))
    if is_proxy:
        steps.append(destination_step(config, listener))
    steps += _script_steps(scripts_of(config, listener), parts, (Phase.OBSERVE, Phase.ADMIT))
    return sorted(steps, key=lambda step: step.phase)


def destination_step(config: Config, listener: Listener) -> Step:
    """The filter that knows where tunnels may lead."""
    ports = destination_of(config, listener)
    named = ", ".join(map(str, ports.connect_ports)) if ports.connect_ports else "any port but 22, 25, 465, 587, 6379"
    return Step(Phase.ADMIT, "destination", f"CONNECT to {named}", lambda: Destination(ports))


def route_steps(config: Config, listener: Listener, route: Route | None, parts: Parts) -> list[Step]:
    """The filters of a route: what is left of ADMIT, and all further phases. A proxy has one route, None.

    Faults are the innermost of ADMIT: only what is let in fails, and nothing behind them can heal or keep a failure.
    """
    steps: list[Step] = []
    files = [script.file for script in config.scripts if _applies(script, listener)]
    inner = tuple(phase for phase in Phase if phase > Phase.ADMIT)
    if route is not None:
        paths = PathOptions(encoded_slash=route.encoded_slash)
        detail = f"encoded slash: {paths.encoded_slash}"
        steps.append(Step(Phase.ADMIT, "path", detail, lambda: PathCheck(paths)))
        steps += _script_steps(route.scripts, parts, tuple(Phase))
    for chances in exchange_chances(listener, route, parts):
        steps.append(Step(Phase.ADMIT, "faults", in_words(chances.faults), partial(Faults, chances)))
    steps += _script_steps(files, parts, inner)
    cache = cache_of(config, listener, route)
    if cache is not None:
        make = partial(cache_filter, config, cache, listener, route, parts)
        steps.append(Step(Phase.STORE, "cache", cache_in_words(cache, route), make))
    return sorted(steps, key=lambda step: step.phase)


def routes_of(config: Config, listener: Listener) -> list[Route]:
    """The routes of a gateway, its catch-all last."""
    routes = [route for route in config.routes if not route.listeners or listener.name in route.listeners]
    if listener.upstream:
        routes.append(Route(name="everything else" if routes else "every request", upstream=listener.upstream))
    return routes


def scripts_of(config: Config, listener: Listener) -> list[str]:
    """The files of filters that apply to the whole listener."""
    return [script.file for script in config.scripts if _applies(script, listener)]


def _applies(script: Script, listener: Listener) -> bool:
    return not script.listeners or listener.name in script.listeners


def _script_steps(files: Iterable[str], parts: Parts, phases: tuple[Phase, ...]) -> list[Step]:
    """A slot of each script in each of `phases`: empty ones stay, for functions that a changed file may have there."""
    steps = []
    for file in files:
        script = parts.get(ScriptFile, file, partial(_script, file))
        for phase in phases:
            names = ", ".join(name for where, name in script.functions if where is phase)
            detail = f"{file}: {names}" if names else ""
            steps.append(Step(phase, "script", detail, partial(script.slot, phase)))
    return steps


def _script(file: str) -> ScriptFile:
    return ScriptFile(ScriptOptions(file=file))


def destination_of(config: Config, listener: Listener) -> DestinationOptions:
    """The ports of CONNECT: what the listener says, else by how far it can be reached."""
    if listener.connect_ports is not None:
        return DestinationOptions(connect_ports=listener.connect_ports)
    return DestinationOptions(connect_ports=None if is_loopback_only(listener) else (443,))


def users_of(config: Config, listener: Listener, parts: Parts) -> Auth:
    """Who may use the listener, which has a file of users: the same for every protocol that it speaks."""
    assert listener.auth is not None
    options = AuthOptions(file=listener.auth, proxy=listener.role in OPEN_ROLES)
    render = error_answer(config, listener)
    return parts.get(Auth, (options, listener.name), lambda: Auth(options, render))


def is_loopback_only(listener: Listener) -> bool:
    """Whether only programs of this machine can reach the listener."""
    address = parse_address(listener.address)
    return address.is_unix or address.is_loopback


def error_answer(config: Config, listener: Listener) -> ErrorAnswer:
    """What makes the answers that tell clients about failures. A gateway does not name its servers to the world."""
    show_detail = listener.role in OPEN_ROLES or is_loopback_only(listener)
    return ErrorAnswer(ErrorAnswerOptions(pseudonym=config.process.pseudonym, show_detail=show_detail))


def setup_page(config: Config, listener: Listener) -> SetupPage:
    """The page of a proxy about itself."""
    address = parse_address(listener.address)
    options = SetupPageOptions(
        pac_exceptions=listener.pac_exceptions,
        asks_for_password=listener.auth is not None,
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
    options = RecorderOptions(max_body_bytes=config.journal.max_body_bytes)
    (records,) = parts.every(Records)
    return parts.get(Recorder, options, lambda: Recorder(options, records.tell))


def proxy_end(config: Config, listener: Listener, means: Means) -> Handler:
    """The end of a proxy: the origin or tunnel that the client names."""
    client = means.parts.get(
        UpstreamClient,
        (replace(listener, faults=()), config.connections, config.dns, config.timeouts.tunnel_timeout_s),
        lambda: UpstreamClient(
            means.dial_for(config, listener),
            means.parser,
            means.tunnels,
            config.connections,
            answer_timeout_s=PROXY_ANSWER_TIMEOUT_S,
            stream_timeout_s=config.timeouts.tunnel_timeout_s,
            configured=False,
        ),
    )
    return OriginClient(client)


def route_end(config: Config, route: Route, means: Means) -> Handler:
    """The end of a gateway's route."""
    if route.answer is not None:
        return fixed_answer(route.answer)
    upstream = next(upstream for upstream in config.upstreams if upstream.name == route.upstream)
    return GroupClient(upstream_client(config, upstream, means), [origin_of(server) for server in upstream.servers])


def upstream_client(config: Config, upstream: Upstream, means: Means) -> UpstreamClient:
    """The client for the servers of an upstream, with its pool."""
    connections = config.connections_of(upstream)
    return means.parts.get(
        UpstreamClient,
        (upstream.verify, upstream.ca_file, connections, config.dns, config.timeouts.tunnel_timeout_s),
        lambda: UpstreamClient(
            means.dial_for(config, upstream),
            means.parser,
            means.tunnels,
            connections,
            answer_timeout_s=GATEWAY_ANSWER_TIMEOUT_S,
            stream_timeout_s=config.timeouts.tunnel_timeout_s,
            configured=True,
        ),
    )


def fixed_answer(answer: Answer) -> Handler:
    """A handler that always answers the same."""
    content = answer.text.encode()
    fields = Fields([("Content-Type", answer.media_type)])

    async def fixed(exchange: Exchange, request: Request) -> Response:
        return Response(answer.status, fields.copy(), Body(content))

    return fixed


def origin_of(server: str) -> Origin:
    """The origin of a configured server, whose form `config.kinds` has checked."""
    address = address_of(server)
    if address.is_unix:
        return Origin("unix", address.path, 0)
    return Origin(server.partition("://")[0], address.host, address.port)


def address_policy(config: Config, listener: Listener, addresses: Iterable[str]) -> AddressPolicy:
    """What the clients of a proxy may make us reach. `addresses` are the real ones of all listeners."""
    return AddressPolicy(
        loopback_only=is_loopback_only(listener),
        allow=listener.allow_upstream,
        own=[parse_address(address) for address in addresses],
    )


def _limits_in_words(options: LimitOptions) -> str:
    words = []
    if options.max_body_bytes:
        words.append(f"content up to {options.max_body_bytes} bytes")
    if options.max_exchanges_per_client:
        words.append(f"{options.max_exchanges_per_client} exchanges per client")
    return ", ".join(words)
