"""Ready-made configurations: what the flags of `interpose proxy` and `interpose gateway` stand for.

A role has no code of its own. These functions build the tables that a file would have and load them in the same way, so
that flags, files and programs are held to the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.problem import Absent, Problem, shown

DEFAULT_ADDRESS = "127.0.0.1:8080"
INTERACTIVE_GRACE_S = 3.0


def proxy_config(listen: Sequence[str] = (DEFAULT_ADDRESS,), **options: Any) -> Config:
    """A forward proxy. `options` are those of `common_tables`, and `allow_upstream` for networks that may be
    reached."""
    return config_of(proxy_tables(listen, **options))


def gateway_config(servers: Sequence[str], listen: Sequence[str] = (DEFAULT_ADDRESS,), **options: Any) -> Config:
    """A gateway before `servers`, taken in turn. `options` are those of `common_tables`."""
    return config_of(gateway_tables(servers, listen, **options))


def proxy_tables(
    listen: Sequence[str] = (DEFAULT_ADDRESS,), *, allow_upstream: Sequence[str] = (), **options: Any
) -> dict[str, Any]:
    """The tables of a forward proxy."""
    return common_tables("proxy", listen, own={"allow_upstream": list(allow_upstream)}, **options)


def gateway_tables(
    servers: Sequence[str], listen: Sequence[str] = (DEFAULT_ADDRESS,), **options: Any
) -> dict[str, Any]:
    """The tables of a gateway before `servers`."""
    tables = common_tables("gateway", listen, own={"upstream": "upstream"}, **options)
    return {**tables, "upstream": [{"name": "upstream", "servers": list(servers)}]}


def common_tables(
    role: str,
    listen: Sequence[str],
    *,
    own: dict[str, Any],
    workers: int = 1,
    name: str = "",
    state: str = "",
    allow_from: Sequence[str] = (),
    auth: str | None = None,
    scripts: Sequence[str] = (),
    log: str = "-",
    log_format: str = "combined",
    tls_certificate: str | None = None,
    tls_key: str | None = None,
) -> dict[str, Any]:
    """The tables that both roles share: a listener for each address, all alike but for that."""
    listener: dict[str, Any] = {"role": role, "allow_from": list(allow_from), **own}
    if auth is not None:
        listener["auth"] = auth
    tls = {key: path for key, path in (("certificate", tls_certificate), ("key", tls_key)) if path is not None}
    if tls:
        listener["tls"] = tls
    return {
        "process": {"name": name, "workers": workers, "state_dir": state, "grace_s": INTERACTIVE_GRACE_S},
        "log": {"access": log, "format": log_format},
        "listener": [{**listener, "address": address} for address in listen],
        "script": [{"file": file} for file in scripts],
    }


def said_of_flags(problems: Sequence[Problem]) -> tuple[str, ...]:
    """The same problems in the words of the command line: options instead of key paths, each once."""
    sentences: dict[str, None] = {}
    for problem in problems:
        flag = next((flag for place, flag in _FLAGS if place.fullmatch(problem.where)), problem.where)
        value = "" if isinstance(problem.value, Absent) else f" {shown(problem.value)}"
        message = _KEYS_IN_WORDS.sub(lambda found: _FLAG_OF_KEY.get(found[0], "another listener"), problem.message)
        sentences[f"{flag}{value}: {message}"] = None
    return tuple(sentences)


_FLAGS = tuple(
    (re.compile(place), flag)
    for place, flag in (
        (r"process\.workers", "--workers"),
        (r"process\.name", "--name"),
        (r"process\.state_dir", "--state"),
        (r"log\.access", "--log"),
        (r"log\.format", "--log-format"),
        (r"script\[[0-9]+\]\.file", "--script"),
        (r"listener\[[0-9]+\]\.address", "--listen"),
        (r"listener\[[0-9]+\]\.auth", "--auth"),
        (r"listener\[[0-9]+\]\.allow_from(\[[0-9]+\])?", "--allow-from"),
        (r"listener\[[0-9]+\]\.allow_upstream(\[[0-9]+\])?", "--allow-upstream"),
        (r"listener\[[0-9]+\]\.tls\.certificate", "--tls-certificate"),
        (r"listener\[[0-9]+\]\.tls\.key", "--tls-key"),
        (r"upstream\[1\]\.servers(\[[0-9]+\])?", "UPSTREAM"),
        (r"listener", "--listen"),
    )
)
_FLAG_OF_KEY = {"allow_from": "--allow-from", "allow_upstream": "--allow-upstream", "auth": "--auth"}
_KEYS_IN_WORDS = re.compile(r"\b(?:allow_from|allow_upstream|auth)\b|\blistener\[[0-9]+\]")
