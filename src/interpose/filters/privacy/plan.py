"""What a profile means, key by key."""

from __future__ import annotations

from typing import Final, NamedTuple

from interpose.filters.privacy.options import PrivacyRule


class Plan(NamedTuple):
    """What is done, in the words of `PrivacyRule`."""

    trail: str = "keep"
    referer: str = "keep"
    user_agent: str = "keep"
    client_hints: str = "keep"
    languages: str = "keep"
    signals: str = "keep"
    cookies: str = "keep"
    validators: str = "keep"
    identifiers: str = "keep"


PROFILES: Final = {
    "keep": Plan(),
    "identify": Plan(trail="send"),
    "anonymous": Plan(
        trail="remove",
        referer="origin",
        user_agent="generalise",
        client_hints="remove",
        languages="generalise",
        signals="set",
        cookies="same-site",
        validators="same-site",
        identifiers="remove",
    ),
}


def plan_of(rule: PrivacyRule) -> Plan:
    """The profile of a rule, with what the rule says otherwise."""
    said = {key: value for key in Plan._fields if (value := getattr(rule, key)) is not None}
    return PROFILES[rule.profile]._replace(**said)
