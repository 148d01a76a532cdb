"""Texts of experiments that mean something: fields, where a value is, a path that goals are posted to, levels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from interpose.core.experiment.design import Levels
from interpose.core.experiment.value_place import FIELD, JSON, TOOK, pointer_of
from interpose.core.fields import HOP_BY_HOP, field_line

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_PATH: Final = re.compile(r"/[\x21-\x7e]*")


def field(text: str) -> str:
    """A field line: `Name: value`."""
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError('is no field; write "Name: value"')
    line = field_line(name, value.strip())
    if line.key in HOP_BY_HOP or line.key == b"host":
        raise ValueError(f"cannot be set: {name} is written by Interpose itself")
    return f"{name}: {value.strip()}"


def value(text: str) -> str:
    """Where the value of a goal is."""
    if text.startswith(FIELD) and _NAME.fullmatch(text.removeprefix(FIELD)):
        return text
    if text.startswith(JSON):
        pointer_of(text.removeprefix(JSON))
        return text
    if text not in ("", TOOK):
        raise ValueError('is no place of a value; write "took", "field:NAME" or "json:/a/b"')
    return text


def post_path(text: str) -> str:
    """The path of a request; "" for none."""
    if text and (_PATH.fullmatch(text) is None or "?" in text or "#" in text):
        raise ValueError('must begin with "/" and hold no space, "?" or "#"')
    return text


KINDS: Final[Mapping[str, Callable[[str], str]]] = {"field_line": field, "value": value, "post_path": post_path}


def levels_of(text: str) -> Levels:
    """The levels of `button=green, layout=new`. ValueError when that is not how it is written."""
    pairs = [part.strip().partition("=") for part in text.split(",")]
    if not all(factor and equals and level for factor, equals, level in pairs):
        raise ValueError('is no combination of levels; write "button=green, layout=new"')
    return tuple((factor, level) for factor, _, level in pairs)
