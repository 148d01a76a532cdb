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
    "Authority": "interpose.core.target",
    "Message": "interpose.core.message_filter",
    "MessageFilter": "interpose.core.message_filter",
    "Pass": "interpose.core.message_filter",
    "PerExchange": "interpose.core.per_exchange",
    "Ruling": "interpose.core.hold",
    "Verdict": "interpose.core.hold",
    "authenticator": "interpose.filters.script.marks",
    "content": "interpose.filters.script.edits",
    "decision": "interpose.filters.script.marks",
    "filter": "interpose.filters.script.marks",
    "messages": "interpose.filters.script.marks",
    "options": "interpose.filters.script.marks",
    "read": "interpose.filters.script.content",
    "replace": "interpose.filters.script.content",
    "started": "interpose.filters.script.marks",
    "stopped": "interpose.filters.script.marks",
    "gateway_config": "interpose.config.roles",
    "load": "interpose.config.load",
    "proxy_config": "interpose.config.roles",
    "serve": "interpose.config.serve",
}
_OTHER_NAMES = {
    "authenticator": "mark_authenticator",
    "content": "mark_content",
    "decision": "mark_decision",
    "filter": "mark",
    "messages": "mark_messages",
    "started": "mark_started",
    "stopped": "mark_stopped",
}

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
    from interpose.core.hold import Ruling, Verdict
    from interpose.core.identity import Identity
    from interpose.core.message import Request, Response
    from interpose.core.message_filter import Message, MessageFilter, Pass
    from interpose.core.per_exchange import PerExchange
    from interpose.core.target import Authority, Target
    from interpose.filters.script.content import read, replace
    from interpose.filters.script.edits import mark_content as content
    from interpose.filters.script.marks import mark as filter
    from interpose.filters.script.marks import mark_authenticator as authenticator
    from interpose.filters.script.marks import mark_decision as decision
    from interpose.filters.script.marks import mark_messages as messages
    from interpose.filters.script.marks import mark_started as started
    from interpose.filters.script.marks import mark_stopped as stopped
    from interpose.filters.script.marks import options

__all__ = [
    "Authority", "Body", "Config", "ConfigError", "Decision", "Exchange", "Failure", "Fields", "Filter", "Handler",
    "Identity", "Message", "MessageFilter", "Outcome", "Pass", "PerExchange", "Phase", "Request", "Response",
    "Ruling", "Side", "Target", "Verdict", "__version__", "authenticator", "content", "decision", "filter",
    "gateway_config", "load", "messages", "options", "proxy_config", "read", "replace", "serve", "started", "stopped",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'interpose' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), _OTHER_NAMES.get(name, name))
    globals()[name] = value
    return value
