"""Places in the source that an experiment tells to read."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1]


def line_of(place: str) -> int:
    """The line on which `net/stream.py:SocketStream.end` begins, 1 for a whole file; ValueError when there is no such
    place."""
    file, _, name = place.partition(":")
    path = SOURCE / file
    if not path.is_file():
        raise ValueError(f"'{file}' is no file of the source.")
    body: list[ast.stmt] = ast.parse(path.read_text("utf-8")).body
    line = 1
    for part in name.split(".") if name else ():
        found = next((node for node in body if _is_called(node, part)), None)
        if found is None:
            raise ValueError(f"'{file}' has no '{name}'.")
        line = found.lineno
        body = getattr(found, "body", [])
    return line


def _is_called(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name
