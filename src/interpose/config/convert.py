"""Plain values (from TOML, or from flags) to structs, with every problem and not only the first.

msgspec converts quickly and stops at the first error. So the descent through tables and lists is done here, by the
types of the model, and each leaf by itself. What is broken is reported and stands at its default, so that the rest can
be checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from msgspec import inspect

from interpose.config import advice
from interpose.config.problem import ABSENT, Problem, shown

Kinds = Mapping[str, Callable[[str], str]]
"""For each kind of text: gives its canonical form; ValueError says what is wrong and what to write instead."""


_NUMBER = re.compile(r"\[[0-9]+\]")

MOST_UNKNOWN_KEYS = 50
"""Keys of one table that are worth a guess each; with more of them it is another kind of file."""


def convert(raw: dict[str, Any], model: type, kinds: Kinds, problems: list[Problem]) -> Any:
    """The struct `model` made of `raw`; what is wrong is appended to `problems` and stands at its default.

    What is wrong or missing and has no default is empty, so that there is always a struct for the rules to look at.
    """
    root = type_of(model)
    return _Descent(kinds, problems, root).struct(raw, root, "")


@cache
def type_of(model: type) -> inspect.StructType:
    """The type of a struct of the model, as msgspec sees it."""
    found = inspect.type_info(model)
    assert isinstance(found, inspect.StructType)
    return found


class _Descent:
    def __init__(self, kinds: Kinds, problems: list[Problem], root: inspect.StructType) -> None:
        self.kinds = kinds
        self.problems = problems
        self.tables = {f.encode_name: f.type for f in root.fields if isinstance(f.type, inspect.StructType)}

    def report(self, where: str, value: Any, message: str) -> None:
        self.problems.append(Problem(where, value, message))

    def value(self, raw: Any, type_: inspect.Type, where: str, key: str) -> Any:
        """The value, or None when it was broken and reported."""
        match type_:
            case inspect.UnionType(types=types):
                inner = next(t for t in types if not isinstance(t, inspect.NoneType))
                return None if raw is None else self.value(raw, inner, where, key)
            case inspect.Metadata(type=inner, extra=extra) if inner is not None:
                return self.text(self.value(raw, inner, where, key), where, (extra or {}).get("kind", ""))
            case inspect.StructType():
                return self.struct(raw, type_, where)
            case inspect.VarTupleType():
                return self.items(raw, type_, where, key)
            case inspect.DictType():
                return self.table(raw, where)
        if accepts(type_, raw):
            return float(raw) if isinstance(type_, inspect.FloatType) else raw
        self.report(where, raw, advice.wrong_value(raw, type_, key))
        return None

    def text(self, text: Any, where: str, kind: str) -> Any:
        check = self.kinds.get(kind)
        if text is None or check is None:
            return text
        try:
            return check(text)
        except ValueError as error:
            self.report(where, text, str(error).removesuffix("."))
            return None

    def struct(self, raw: Any, type_: inspect.StructType, where: str) -> Any:
        if not isinstance(raw, dict):
            if isinstance(raw, list) and raw and isinstance(raw[0], dict):
                self.report(where, ABSENT, f"is one table, not several; write [{where}], with single brackets")
            else:
                self.report(where, raw, f"must be {advice.wanted(type_, where)}")
            return None
        known = {field.encode_name: field for field in type_.fields}
        unknown = [key for key in raw if key not in known]
        for key in unknown[:MOST_UNKNOWN_KEYS]:
            self.report(_join(where, key), raw[key], advice.unknown_key(key, where, type_, self.tables))
        if len(unknown) > MOST_UNKNOWN_KEYS:
            message = f"{len(unknown) - MOST_UNKNOWN_KEYS} more keys are not known here"
            self.report(_join(where, unknown[MOST_UNKNOWN_KEYS]), ABSENT, message)
        given: dict[str, Any] = {}
        for name, field in known.items():
            place = _join(where, name)
            value = None
            if name in raw:
                value = self.value(raw[name], field.type, place, name)
            elif field.required:
                self.report(place, ABSENT, f"is missing; give {advice.wanted(field.type, name)}")
            if value is not None:
                given[field.name] = value
            elif field.required:
                given[field.name] = _empty(field.type)
        return type_.cls(**given)

    def table(self, raw: Any, where: str) -> Any:
        """A table whose keys somebody else knows."""
        if isinstance(raw, dict):
            return raw
        header = _NUMBER.sub("", where)
        self.report(where, raw, f"must be a table; write [{header}], and a key = value on each line below")
        return None

    def items(self, raw: Any, type_: inspect.VarTupleType, where: str, key: str) -> Any:
        item_type, least = type_.item_type, type_.min_length or 0
        tables = isinstance(item_type, inspect.StructType)
        if tables and isinstance(raw, dict):
            self.report(where, ABSENT, f"may be several tables; write [[{where}]], with double brackets")
            raw = [raw]
        elif not isinstance(raw, list | tuple):
            fix = f"tables; write [[{where}]]" if tables else f"{advice.wanted(type_, key)}; write [{shown(raw)}]"
            self.report(where, raw, f"must be {fix}")
            return None
        if len(raw) < least:
            self.report(where, raw, f"must not be empty; give {advice.wanted(item_type, key)}")
            return None
        values = [self.value(item, item_type, f"{where}[{number}]", key) for number, item in enumerate(raw, 1)]
        return tuple(value for value in values if value is not None)


def accepts(type_: inspect.Type, raw: object) -> bool:
    """Whether a single value is of a type, within its bounds. Nothing is converted but a whole number to a float."""
    match type_:
        case inspect.StrType():
            return isinstance(raw, str)
        case inspect.BoolType():
            return isinstance(raw, bool)
        case inspect.LiteralType(values=values):
            return isinstance(raw, str) and raw in values
        case inspect.IntType() | inspect.FloatType():
            wanted = int if isinstance(type_, inspect.IntType) else int | float
            return isinstance(raw, wanted) and not isinstance(raw, bool) and _is_within(raw, type_)
    raise AssertionError(f"the model has a type that nobody converts: {type_}")


def _is_within(number: float, type_: inspect.IntType | inspect.FloatType) -> bool:
    # Written so that nan, which is neither above nor below anything, is outside.
    return (
        number == number
        and (type_.ge is None or number >= type_.ge)
        and (type_.gt is None or number > type_.gt)
        and (type_.le is None or number <= type_.le)
    )


def _empty(type_: inspect.Type) -> Any:
    match type_:
        case inspect.Metadata(type=inner) if inner is not None:
            return _empty(inner)
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.VarTupleType():
            return ()
    return ""


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
