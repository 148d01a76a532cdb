"""Ready-made configurations: what the flags of `interpose proxy`, `gateway`, `relay`, `socks`, `echo` and `upper` mean.

A role has no code of its own. These functions build the tables that a file would have and load them in the same way, so
that flags, files and programs are held to the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from interpose.config.cache_text import NAME as CACHE_NAME
from interpose.config.cache_text import cache_table
from interpose.config.console_model import DEFAULT_CONSOLE
from interpose.config.fault_text import fault_tables
from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.problem import Absent, Problem, shown

DEFAULT_ADDRESS = "127.0.0.1:8080"
DEFAULT_SOCKS_ADDRESS = "127.0.0.1:1080"
DEFAULT_ECHO_ADDRESS = "127.0.0.1:8001"
DEFAULT_UPPER_ADDRESS = "127.0.0.1:12000"
DEFAULT_SPOOL_ADDRESS = "127.0.0.1:9000"
DEFAULT_SINK_ADDRESS = "127.0.0.1:9001"
INTERACTIVE_GRACE_S = 3.0


def proxy_config(listen: Sequence[str] = (DEFAULT_ADDRESS,), **options: Any) -> Config:
    """A forward proxy. `options` are those of `common_tables`; `allow_upstream` for networks that may be reached, and
    `socks` to speak that too."""
    return config_of(proxy_tables(listen, **options))


def gateway_config(servers: Sequence[str], listen: Sequence[str] = (DEFAULT_ADDRESS,), **options: Any) -> Config:
    """A gateway before `servers`, taken in turn. `options` are those of `gateway_tables`."""
    return config_of(gateway_tables(servers, listen, **options))


def proxy_tables(
    listen: Sequence[str] = (DEFAULT_ADDRESS,),
    *,
    allow_upstream: Sequence[str] = (),
    socks: bool = False,
    intercept: Sequence[str] = (),
    keylog: str | None = None,
    name: str = "",
    **options: Any,
) -> dict[str, Any]:
    """The tables of a forward proxy; with `socks` of one that speaks SOCKS too, on the same port. `intercept` are
    queries of tunnels that are looked into; the others pass. `keylog` is where their secrets are written."""
    role, name = ("auto", name or "proxy") if socks else ("proxy", name)
    tables = common_tables(role, listen, own={"allow_upstream": list(allow_upstream)}, name=name, **options)
    return {**tables, **({"interception": _interception_table(intercept, keylog)} if intercept else {})}


def _interception_table(queries: Sequence[str], keylog: str | None) -> dict[str, Any]:
    rules = [*({"when": query, "action": "intercept"} for query in queries), {"when": "*", "action": "pass"}]
    return {"rule": rules, **({"keylog": keylog} if keylog else {})}


def gateway_tables(
    servers: Sequence[str], listen: Sequence[str] = (DEFAULT_ADDRESS,), *, compress: bool = False, **options: Any
) -> dict[str, Any]:
    """The tables of a gateway before `servers`; with `compress` of one that compresses their answers. `options` are
    those of `common_tables`."""
    own = {"upstream": "upstream", **({"compression": {}} if compress else {})}
    tables = common_tables("gateway", listen, own=own, **options)
    return {**tables, "upstream": [{"name": "upstream", "servers": list(servers)}]}


def socks_config(listen: Sequence[str] = (DEFAULT_SOCKS_ADDRESS,), **options: Any) -> Config:
    """A SOCKS server. `options` are those of `proxy_config`."""
    return config_of(socks_tables(listen, **options))


def socks_tables(
    listen: Sequence[str] = (DEFAULT_SOCKS_ADDRESS,), *, allow_upstream: Sequence[str] = (), **options: Any
) -> dict[str, Any]:
    """The tables of a SOCKS server."""
    return common_tables("socks", listen, own={"allow_upstream": list(allow_upstream)}, **options)


def relay_config(servers: Sequence[str], listen: Sequence[str], **options: Any) -> Config:
    """A relay to `servers`, taken in turn. `options` are those of `relay_tables`."""
    return config_of(relay_tables(servers, listen, **options))


def relay_tables(
    servers: Sequence[str],
    listen: Sequence[str],
    *,
    udp: bool = False,
    show: str = "off",
    proxy_protocol_from: Sequence[str] = (),
    send_proxy_protocol: str = "off",
    verify: bool = True,
    ca_file: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The tables of a relay to `servers`; with `udp` of datagrams. `options` are those of `common_tables`."""
    own = {"upstream": "upstream", "udp": udp, "show": show, "proxy_protocol_from": list(proxy_protocol_from)}
    upstream = {
        "name": "upstream",
        "servers": list(servers),
        "verify": verify,
        **({} if ca_file is None else {"ca_file": ca_file}),
        "send_proxy_protocol": send_proxy_protocol,
    }
    return {**common_tables("relay", listen, own=own, **options), "upstream": [upstream]}


def echo_config(listen: Sequence[str] = (DEFAULT_ECHO_ADDRESS,), **options: Any) -> Config:
    """A server that sends back what it gets. `options` are those of `answering_tables`."""
    return config_of(answering_tables("echo", listen, **options))


def upper_config(listen: Sequence[str] = (DEFAULT_UPPER_ADDRESS,), **options: Any) -> Config:
    """A server that sends back what it gets in capitals. `options` are those of `answering_tables`."""
    return config_of(answering_tables("upper", listen, **options))


def answering_tables(
    role: str, listen: Sequence[str], *, udp: bool = False, show: str = "off", log: str = "off", **options: Any
) -> dict[str, Any]:
    """The tables of a server that answers by itself, `echo` or `upper`. It shows what happens instead of a log."""
    return common_tables(role, listen, own={"udp": udp, "show": show}, log=log, **options)


def spool_config(
    server: str, directory: str, listen: Sequence[str] = (DEFAULT_SPOOL_ADDRESS,), **options: Any
) -> Config:
    """A spool that keeps files in `directory` and sends them to `server`. `options` are those of `spool_tables`."""
    return config_of(spool_tables(server, directory, listen, **options))


def spool_tables(
    server: str,
    directory: str,
    listen: Sequence[str] = (DEFAULT_SPOOL_ADDRESS,),
    *,
    hold: bool = False,
    delay_s: float = 0.0,
    end: str = "half-close",
    form: str = "auto",
    verify: bool = True,
    ca_file: str | None = None,
    log: str = "off",
    **options: Any,
) -> dict[str, Any]:
    """The tables of a spool. What becomes of a file is told on standard error instead of a log. `options` are those of
    `common_tables`."""
    files = {"dir": directory, "hold": hold, "delay_s": delay_s, "end": end, "form": form}
    upstream = {"name": "upstream", "servers": [server], "verify": verify}
    own = {"upstream": "upstream", "spool": files}
    trust = {} if ca_file is None else {"ca_file": ca_file}
    return {**common_tables("spool", listen, own=own, log=log, **options), "upstream": [{**upstream, **trust}]}


def sink_config(directory: str, listen: Sequence[str] = (DEFAULT_SINK_ADDRESS,), **options: Any) -> Config:
    """A server that keeps the files it is sent in `directory`. `options` are those of `sink_tables`."""
    return config_of(sink_tables(directory, listen, **options))


def sink_tables(
    directory: str,
    listen: Sequence[str] = (DEFAULT_SINK_ADDRESS,),
    *,
    end: str = "half-close",
    log: str = "off",
    **options: Any,
) -> dict[str, Any]:
    """The tables of a sink. `options` are those of `common_tables`."""
    return common_tables("sink", listen, own={"spool": {"dir": directory, "end": end}}, log=log, **options)


def common_tables(
    role: str,
    listen: Sequence[str],
    *,
    own: dict[str, Any],
    workers: int = 1,
    name: str = "",
    state: str = "",
    cache: str | None = None,
    allow_from: Sequence[str] = (),
    faults: Sequence[str] = (),
    auth: str | None = None,
    scripts: Sequence[str] = (),
    log: str = "-",
    log_format: str = "combined",
    tls_certificate: str | None = None,
    tls_key: str | None = None,
    tls_development: bool = False,
    console: str | None = None,
    holds: Sequence[str] = (),
) -> dict[str, Any]:
    """The tables that all roles share: a listener for each address, all alike but for that.

    `console` is the console's address, "" for the usual one or any other where that is taken, None for no console; with
    one what passes is recorded. `holds` are queries of what is to be held.
    """
    # What passes through relays is held only where a rule names them.
    named = [role if number == 1 else f"{role}-{number}" for number in range(1, len(listen) + 1)]
    listener: dict[str, Any] = {"role": role, "allow_from": list(allow_from), **own}
    if cache is not None:
        listener["cache"] = CACHE_NAME
    if faults:
        listener["fault"] = fault_tables(faults, "listener[1].fault")
    if auth is not None:
        listener["auth"] = auth
    given = (("certificate", tls_certificate), ("key", tls_key), ("development", tls_development or None))
    tls = {key: value for key, value in given if value is not None}
    if tls:
        listener["tls"] = tls
    return {
        "process": {"name": name, "workers": workers, "state_dir": state, "grace_s": INTERACTIVE_GRACE_S},
        "log": {"access": log, "format": log_format},
        "listener": [{**listener, "address": address} for address in listen],
        "cache": [] if cache is None else [cache_table(cache)],
        "script": [{"file": file} for file in scripts],
        "hold": [{"when": query, "listeners": named} for query in holds],
        **({} if console is None else {"console": _console_table(console), "journal": {}}),
    }


def _console_table(address: str) -> dict[str, Any]:
    return {"address": address} if address else {"address": DEFAULT_CONSOLE, "else_any_port": True}


def said_of_flags(problems: Sequence[Problem], servers: str = "UPSTREAM") -> tuple[str, ...]:
    """The same problems in the words of the command line: options instead of key paths, each once.

    `servers` is how the command calls the servers behind it.
    """
    sentences: dict[str, None] = {}
    for problem in problems:
        found = ((place.fullmatch(problem.where), flag) for place, flag in _FLAGS)
        flag = next((match.expand(flag) for match, flag in found if match), problem.where)
        value = "" if isinstance(problem.value, Absent) else f" {shown(problem.value)}"
        flag = servers if flag == "UPSTREAM" else flag
        message = _KEYS_IN_WORDS.sub(lambda word: _FLAG_OF_KEY.get(word[0], "another listener"), problem.message)
        sentences[f"{flag}{value}: {message}"] = None
    return tuple(sentences)


_FLAGS = tuple(
    (re.compile(place), flag)
    for place, flag in (
        (r"process\.workers", "--workers"),
        (r"process\.name", "--name"),
        (r"process\.state_dir", "--state"),
        (r"log\.access", "--log"),
        (r"console\.address", "--console"),
        (r"hold(\[[0-9]+\])\.when", r"--hold\1"),
        (r"interception\.rule(\[[0-9]+\])\.when", r"--intercept\1"),
        (r"interception\.keylog", "--keylog"),
        (r"interception(\.dir)?", "--intercept"),
        (r"log\.format", "--log-format"),
        (r"script\[[0-9]+\]\.file", "--script"),
        (r"listener\[[0-9]+\]\.address", "--listen"),
        (r"listener\[[0-9]+\]\.auth", "--auth"),
        (r"cache\[1\](\.(dir|memory_bytes|disk_bytes))?", "--cache"),
        (r"listener\[[0-9]+\]\.allow_from(\[[0-9]+\])?", "--allow-from"),
        (r"listener\[[0-9]+\]\.allow_upstream(\[[0-9]+\])?", "--allow-upstream"),
        (r"listener\[[0-9]+\]\.proxy_protocol_from(\[[0-9]+\])?", "--proxy-from"),
        (r"listener\[[0-9]+\]\.tls\.certificate", "--tls-certificate"),
        (r"listener\[[0-9]+\]\.tls\.key", "--tls-key"),
        (r"listener\[[0-9]+\]\.tls", "--tls"),
        (r"upstream\[1\]\.servers(\[[0-9]+\])?", "UPSTREAM"),
        (r"upstream\[1\]\.send_proxy_protocol", "--send-proxy"),
        (r"upstream\[1\]\.ca_file", "--ca-file"),
        (r"listener\[[0-9]+\]\.spool\.dir", "DIR"),
        (r"listener\[[0-9]+\]\.spool\.delay_s", "--delay"),
        (r"listener\[[0-9]+\]\.spool\.(end|hold|form)", r"--\1"),
        (r"listener\[[0-9]+\]\.fault", "--fault"),
        (r"listener\[[0-9]+\]\.fault(\[[0-9]+\])", r"--fault\1"),
        (r"listener\[[0-9]+\]\.fault(\[[0-9]+\])\.([a-z_]+)", r"--fault\1 \2"),
        (r"listener", "--listen"),
    )
)
_FLAG_OF_KEY = {"allow_from": "--allow-from", "allow_upstream": "--allow-upstream", "auth": "--auth"}
_KEYS_IN_WORDS = re.compile(r"\b(?:allow_from|allow_upstream|auth)\b|\blistener\[[0-9]+\]")
