"""Tables as all commands print them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell = str | Text
UNFOLDED = 200
"""Columns where no terminal says how many it has: what is piped to grep should stay on its line."""


def console() -> Console:
    """Standard output, for tables and texts that are printed as they are."""
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, markup=False, width=None if has_width else UNFOLDED)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, title: str = "", numbers: Sequence[str] = ()
) -> Table:
    """A table of plain texts: nothing in them is taken for markup. Columns in `numbers` are aligned to the right."""
    made = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return made
