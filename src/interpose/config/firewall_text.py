"""Texts of the firewall's tables: numbers and tags of rules, and what rules look at."""

from __future__ import annotations

import re

_RULE_IDS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,79}")
_VARIABLE = re.compile(r"[A-Z][A-Z_]{1,39}(?::[A-Za-z0-9_.\-\[\]]{1,100})?")


def rule_ids(text: str) -> str:
    """The number of a rule, or a range of numbers."""
    found = _RULE_IDS.fullmatch(text)
    if found is None:
        raise ValueError('is not the number of a rule; write "942100", or "942100-942199" for several')
    if found[2] is not None and int(found[2]) < int(found[1]):
        raise ValueError("ends before it begins")
    return text


def rule_tag(text: str) -> str:
    """A tag of rules."""
    if _TAG.fullmatch(text) is None:
        raise ValueError('is not a tag of rules; write "attack-sqli"')
    return text


def rule_variable(text: str) -> str:
    """What a rule looks at: a name of the library's, with one of its members or without."""
    if _VARIABLE.fullmatch(text) is None:
        message = 'is nothing that rules look at; write "ARGS:content", "REQUEST_COOKIES:session" or "REQUEST_BODY"'
        raise ValueError(f"{message} (members with other signs than letters, digits and _.-[] cannot be named)")
    return text
