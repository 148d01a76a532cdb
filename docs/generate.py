"""Writes the pages of options and of queries, from the structs of the model, the commands and the table of words, so
that none is without its row.

script/manual runs it. What is not a table stands in the files that end in `.intro.md`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from typer.main import get_command

import interpose
from interpose.cli.commands import app
from interpose.config.advice import wanted
from interpose.config.convert import type_of
from interpose.config.model import Config
from interpose.config.problem import shown
from interpose.core.query.words import WHEN, WORDS, Kind, Word

DOCS = Path(__file__).parent


def pages() -> dict[str, str]:
    """Each page by its file's name."""
    return {
        "configuration.md": page("configuration", sections()),
        "commands.md": page("commands", command_sections()),
        "queries.md": page("queries", word_rows()),
        "scripts.md": page("scripts", api_rows()),
    }


MARKS = ("filter", "messages", "content", "started", "stopped", "authenticator", "decision")
API = (
    *("options", "read", "replace", "PerExchange", "PerExchange.of", "PerExchange.put"),
    *("Response", "Response.text", "Request.copy", "Body", "Body.read", "Body.map", "Body.close"),
    *("Message", "Message.with_data", "Exchange.at_end", "Exchange.waiting", "Exchange.hold"),
    *("Failure", "Decision", "Identity"),
)
"""What of `interpose` scripts mark functions with, and what they call: as it is written after that name."""


def api_rows() -> Iterator[str]:
    """A row for each, with its signature and what its first paragraph says."""
    yield "| | |"
    yield "|---|---|"
    for name in (*MARKS, *API):
        found: Any = interpose
        for part in name.split("."):
            found = getattr(found, part)
        shown_as = f"@interpose.{name}" if name in MARKS else f"{name}{signature(found)}"
        first = (inspect.getdoc(found) or "").split("\n\n")[0].replace("\n", " ")
        cells = (f"`{shown_as}`", first)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def signature(function: Any) -> str:
    """How something is called, with types as they are written in the source."""
    given = inspect.signature(function)
    parameters = []
    for one in given.parameters.values():
        default = ""
        if one.default is not one.empty:
            is_plain = isinstance(one.default, str | bytes | int | float | None)
            default = f" = {one.default!r}" if is_plain else " = …"
        if one.name != "self":
            star = "*, " if one.kind is one.KEYWORD_ONLY and "*, " not in "".join(parameters) else ""
            parameters.append(f"{star}{one.name}: {type_name(one.annotation)}{default}")
    answer = "" if isinstance(function, type) else f" -> {type_name(given.return_annotation)}"
    return f"({', '.join(parameters)}){answer}"


def type_name(annotation: Any) -> str:
    """A type as it is written."""
    if isinstance(annotation, str):
        return annotation
    return getattr(annotation, "__forward_arg__", None) or getattr(annotation, "__name__", str(annotation))


def page(name: str, lines: Iterable[str]) -> str:
    """The introduction of a page and what is made from the source."""
    introduction = (DOCS / f"{name}.intro.md").read_text("utf-8")
    return introduction.rstrip("\n") + "\n\n" + "\n".join(lines).rstrip("\n") + "\n"


def sections() -> Iterator[str]:
    """One section for each table of the file, tables inside a table after it."""
    for header, struct in tables():
        yield from section(header, struct, "###" if "." in header else "##")


def tables() -> Iterator[tuple[str, msgspec.inspect.StructType]]:
    """Every table that has a section, by its header; those inside a table come after it."""
    homes = set()
    for header, struct in occurrences():
        if struct.cls not in homes and home_of(struct) == header:
            homes.add(struct.cls)
            yield header, struct


def occurrences() -> Iterator[tuple[str, msgspec.inspect.StructType]]:
    """Every place where a table may stand, with its struct, in the order of the model."""
    for field in type_of(Config).fields:
        struct = struct_of(field.type)
        assert struct is not None
        name = field.encode_name
        yield (f"[{name}]" if struct is field.type else f"[[{name}]]"), struct
        yield from inner_occurrences(name, struct)


def inner_occurrences(
    table: str, struct: msgspec.inspect.StructType
) -> Iterator[tuple[str, msgspec.inspect.StructType]]:
    """Those inside a table, each followed by those inside it."""
    for field in struct.fields:
        nested = struct_of(field.type)
        if nested is not None:
            header = inner_header(table, field)
            yield header, nested
            yield from inner_occurrences(header.strip("[]"), nested)


def inner_header(table: str, field: msgspec.inspect.Field) -> str:
    """The header of a table inside a table."""
    header = f"{table}.{field.encode_name}"
    return f"[[{header}]]" if isinstance(field.type, msgspec.inspect.VarTupleType) else header


def home_of(struct: msgspec.inspect.StructType) -> str:
    """The header of the section that explains a struct: a table of the file's own, else the first place that has it."""
    fields = [(field, struct_of(field.type)) for field in type_of(Config).fields]
    for field, top in fields:
        if top is field.type and top.cls is struct.cls:
            return f"[{field.encode_name}]"
    return next(header for header, one in occurrences() if one.cls is struct.cls)


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
            value(field, header),
            default(field),
            explanations[field.name],
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def value(field: msgspec.inspect.Field, header: str) -> str:
    """What may be written, in words."""
    nested = struct_of(field.type)
    if nested is None:
        return wanted(field.type, field.encode_name)
    home = home_of(nested)
    what = "tables" if isinstance(field.type, msgspec.inspect.VarTupleType) else "a table"
    if home == inner_header(header.strip("[]"), field):
        return f"{what}, see below"
    return f"{what} like [`{home}`](#{home.strip('[]').replace('.', '')})"


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


def in_usage(argument: Any) -> str:
    """An argument as a usage line has it."""
    name = f"{argument.metavar or argument.name}{'...' if argument.nargs == -1 else ''}"
    return name if argument.required else f"[{name}]"


def commands() -> Iterator[tuple[str, Any]]:
    """Each command with the words that call it, in the order of `interpose --help`."""
    for name, command in get_command(app).commands.items():
        for inner, inner_command in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", inner_command
        if not hasattr(command, "commands"):
            yield name, command


def command_sections() -> Iterator[str]:
    """One section for each command."""
    for name, command in commands():
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        options = [param for param in command.params if param.param_type_name == "option"]
        usage = " ".join(["interpose", name, "[OPTIONS]", *(in_usage(param) for param in arguments)])
        yield f"## `{usage}`"
        yield ""
        yield " ".join(command.help.split())
        yield ""
        if options:
            yield "| Option | Default | Effect |"
            yield "|---|---|---|"
        for param in options:
            written = f"`{param.opts[0]}`" if param.metavar is None else f"`{param.opts[0]} {param.metavar}`"
            effect = param.help.replace("\\[", "[").replace("|", "\\|")
            yield f"| {written} | {default_of(param)} | {effect} |"
        yield ""


def default_of(param: Any) -> str:
    """What holds without an option."""
    if isinstance(param.show_default, str):
        return param.show_default
    default = param.default[0] if isinstance(param.default, list) and param.default else param.default
    return f"`{default}`" if default not in (None, "", [], False) else ""


def word_rows() -> Iterator[str]:
    """The table of a query's words."""
    yield "| Word | Means | Value | Known | Example |"
    yield "|---|---|---|---|---|"
    for word in WORDS.values():
        known = WHEN[max(word.needs, key=lambda need: need.value)]
        cells = (f"`{word.written}`", word.meaning, value_of_word(word), known, f"`{word.example}`")
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""
    for word in WORDS.values():
        if word.kind is Kind.CHOICE:
            yield f"`{word.word}` is one of {', '.join(f'`{each}`' for each in word.values)}."
            yield ""


def value_of_word(word: Word) -> str:
    """What may stand behind a word, in words."""
    return f"{word.kind.value}, any case" if word.folds and word.kind is not Kind.CHOICE else word.kind.value


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text, "utf-8")
        print(f"docs/{name} written.")
