"""From `[[privacy]]` tables to the filter of a listener and to the page that shows what it does."""

from __future__ import annotations

from functools import partial

from interpose.config.model import OPEN_ROLES, Config, Listener
from interpose.config.step import Step
from interpose.core.handler import Filter, Handler, Phase
from interpose.filters.privacy.options import PrivacyRule


def rules_for(config: Config, listener: Listener) -> tuple[PrivacyRule, ...]:
    """The rules that are asked on `listener`, in their order."""
    return tuple(rule for rule in config.privacy if not rule.listeners or listener.name in rule.listeners)


def steps_of(config: Config, listener: Listener) -> list[Step]:
    """The filter, where there are any."""
    rules = rules_for(config, listener)
    if not rules:
        return []
    return [Step(Phase.EDIT, "privacy", "; ".join(map(_in_words, rules)), partial(_filter, listener, rules))]


def with_privacy(config: Config, listener: Listener, page: Handler) -> Handler:
    """A page of a proxy about itself, beside which there is one about what servers see."""
    rules = rules_for(config, listener)
    if not rules:
        return page
    from interpose.filters.privacy.page import PrivacyPage

    return PrivacyPage(rules, config.process.pseudonym, page)


def _filter(listener: Listener, rules: tuple[PrivacyRule, ...]) -> Filter:
    from interpose.filters.privacy.filter import Privacy

    return Privacy(rules, listener.trusted, identifies=listener.role in OPEN_ROLES)


def _in_words(rule: PrivacyRule) -> str:
    where = f" with {rule.when}" if rule.when else ""
    return (f"{rule.name}: " if rule.name else "") + rule.profile + where
