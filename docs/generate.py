"""Writes docs/configuration.md from the structs of the model, so that no option is without its row. Run by script/manual."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec

from interpose.config.advice import wanted
from interpose.config.convert import type_of
from interpose.config.model import Config
from interpose.config.problem import shown

PAGE = Path(__file__).with_name("configuration.md")
INTRODUCTION = Path(__file__).with_name("configuration.intro.md")


def page() -> str:
    """The whole page."""
    return INTRODUCTION.read_text("utf-8").rstrip("\n") + "\n\n" + "\n".join(sections()).rstrip("\n") + "\n"


def sections() -> Iterator[str]:
    """One section for each table of the file, tables inside a table after it."""
    shared = {field.type.cls for field in type_of(Config).fields if isinstance(field.type, msgspec.inspect.StructType)}
    for field in type_of(Config).fields:
        struct = struct_of(field.type)
        assert struct is not None
        header = f"[{field.encode_name}]" if struct is field.type else f"[[{field.encode_name}]]"
        yield from section(header, struct, "##")
        for inner in struct.fields:
            nested = struct_of(inner.type)
            if nested is not None and nested.cls not in shared:
                yield from section(f"{field.encode_name}.{inner.encode_name}", nested, "###")


def section(header: str, struct: msgspec.inspect.StructType, level: str) -> Iterator[str]:
    """The rows of one table."""
    explanations = docstrings(struct.cls)
    yield f"{level} `{header}`"
    yield ""
    yield inspect.getdoc(struct.cls) or ""
    yield ""
    yield "| Key | Value | Default | Effect |"
    yield "|---|---|---|---|"
    for field in struct.fields:
        cells = (
            f"`{field.encode_name}`",
            value(field),
            default(field),
            explanations[field.name],
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def value(field: msgspec.inspect.Field) -> str:
    """What may be written, in words."""
    nested = struct_of(field.type)
    if nested is None:
        return wanted(field.type, field.encode_name)
    name = nested.cls.__name__.lower()
    return f"a table like [`[{name}]`](#{name})" if hasattr(Config, name) else "a table, see below"


def default(field: msgspec.inspect.Field) -> str:
    """What holds when nothing is written."""
    if field.required:
        return "required"
    if field.default is None or field.default is msgspec.NODEFAULT:
        return "none"
    number = field.default
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return f"`{shown(number)}`"


def struct_of(type_: msgspec.inspect.Type) -> msgspec.inspect.StructType | None:
    """The struct that a field holds, by itself, in a list, or perhaps; else None."""
    match type_:
        case msgspec.inspect.StructType():
            return type_
        case msgspec.inspect.VarTupleType(item_type=inner):
            return struct_of(inner)
        case msgspec.inspect.UnionType(types=types):
            return next((found for inner in types if (found := struct_of(inner)) is not None), None)
    return None


def docstrings(cls: type) -> dict[str, str]:
    """The text below each field of a class, as one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(text, ast.Expr), f"{cls.__name__}.{field.target.id} has no docstring"
            assert isinstance(text.value, ast.Constant), f"{cls.__name__}.{field.target.id} has no docstring"
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"{PAGE} written.")
