"""Plain text in columns, for tables that people read in a terminal or a log."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from io import StringIO

_ANY_WIDTH = 100_000
"""Wider than any table: whoever prints it decides what to do about its width."""


def shown(value: object, digits: int = 4) -> str:
    """Return a value for people: a float to some significant digits, text without control codes."""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    text = value if isinstance(value, str) else str(value)
    return text if text.isprintable() else "".join(map(_printable, text))


def columns(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[str] = (),
    wrap: int | None = None,
) -> list[str]:
    """Lay out a table; return the header's lines, a rule, and one line for each row.

    Args:
        header: The columns' names.
        rows: The cells, as many in each row as there are columns.
        left: The names of the columns that are aligned left; the others are aligned right.
        wrap: Break names wider than this, where their words meet; None leaves them whole.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name in header:
        parts = [name] if wrap is None else _broken(name, wrap)
        table.add_column(
            Text("\n".join(parts)),
            justify="left" if name in left else "right",
            no_wrap=True,
            vertical="bottom",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(file=StringIO(), width=_ANY_WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def cell_width(text: str) -> int:
    """Return how many cells of a terminal the text takes."""
    from rich.cells import cell_len

    return cell_len(text)


def _broken(name: str, wrap: int) -> list[str]:
    """Break a name where its words meet, into parts no wider than ``wrap`` where it can be."""
    parts = [""]
    for word in re.findall(r"[^\W_]+[\W_]*|[\W_]+", name):
        if parts[-1] and cell_width(parts[-1] + word) > wrap:
            parts.append("")
        parts[-1] += word
    return parts


def _printable(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]
