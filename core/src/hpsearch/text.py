"""Plain text in columns, for tables that people read in a terminal or a log."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

GAP = "  "
"""What stands between two columns."""


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
    names = [[name] if wrap is None else _broken(name, wrap) for name in header]
    widths = [
        max([cell_width(cell) for cell in cells] + [cell_width(part) for part in parts])
        for parts, *cells in zip(names, *rows, strict=True)
    ]
    lefts = [name in left for name in header]

    def line(cells: Sequence[str]) -> str:
        padded = (
            _padded(cell, width, left=is_left)
            for cell, width, is_left in zip(cells, widths, lefts, strict=True)
        )
        return GAP.join(padded).rstrip()

    height = max(map(len, names), default=0)
    stacked = [[""] * (height - len(parts)) + parts for parts in names]
    head = [line(cells) for cells in zip(*stacked, strict=True)]
    rule = GAP.join("-" * width for width in widths)
    return [*head, rule, *map(line, rows)]


def cell_width(text: str) -> int:
    """Return how many cells of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _padded(text: str, width: int, *, left: bool) -> str:
    space = " " * (width - cell_width(text))
    return text + space if left else space + text


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
