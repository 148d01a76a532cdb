"""Interpose: one program and library for everything that stands between a client and a server.

Scripts use `filter`, `Phase` and the values that pass through filters; programs use `serve` with a configuration:

    async with interpose.serve(interpose.proxy_config(["127.0.0.1:0"])) as running:
        print(running.addresses["proxy"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpose.core.version import __version__

# Where each public name lives. They are imported when first used: a command line that only prints its help needs none.
_HOMES = {
    "Body": "interpose.core.body",
    "Config": "interpose.config.model",
    "ConfigError": "interpose.config.problem",
    "Decision": "interpose.core.decision",
    "Exchange": "interpose.core.exchange",
    "Failure": "interpose.core.failure",
    "Fields": "interpose.core.fields",
    "Filter": "interpose.core.handler",
    "Handler": "interpose.core.handler",
    "Identity": "interpose.core.identity",
    "Outcome": "interpose.core.exchange",
    "Phase": "interpose.core.handler",
    "Request": "interpose.core.message",
    "Response": "interpose.core.message",
    "Side": "interpose.core.failure",
    "Target": "interpose.core.target",
    "authenticator": "interpose.filters.script",
    "decision": "interpose.filters.script",
    "filter": "interpose.filters.script",
    "gateway_config": "interpose.config.roles",
    "load": "interpose.config.load",
    "proxy_config": "interpose.config.roles",
    "serve": "interpose.config.serve",
}
_OTHER_NAMES = {"authenticator": "mark_authenticator", "decision": "mark_decision", "filter": "mark"}

if TYPE_CHECKING:
    from interpose.config.load import load
    from interpose.config.model import Config
    from interpose.config.problem import ConfigError
    from interpose.config.roles import gateway_config, proxy_config
    from interpose.config.serve import serve
    from interpose.core.body import Body
    from interpose.core.decision import Decision
    from interpose.core.exchange import Exchange, Outcome
    from interpose.core.failure import Failure, Side
    from interpose.core.fields import Fields
    from interpose.core.handler import Filter, Handler, Phase
    from interpose.core.identity import Identity
    from interpose.core.message import Request, Response
    from interpose.core.target import Target
    from interpose.filters.script import mark as filter
    from interpose.filters.script import mark_authenticator as authenticator
    from interpose.filters.script import mark_decision as decision

__all__ = [
    "Body", "Config", "ConfigError", "Decision", "Exchange", "Failure", "Fields", "Filter", "Handler", "Identity",
    "Outcome", "Phase", "Request", "Response", "Side", "Target", "__version__", "authenticator", "decision",
    "filter", "gateway_config", "load", "proxy_config", "serve",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'interpose' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), _OTHER_NAMES.get(name, name))
    globals()[name] = value
    return value
