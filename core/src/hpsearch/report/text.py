"""Plain text for people: values without control codes or passwords, and tables in columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from hpsearch.errors import without_passwords

_GAP = "  "


def shown(value: object, digits: int = 4) -> str:
    r"""Return a value for people, on one line.

    A float has some significant digits. Text has neither control codes (they are written as in
    Python, such as ``\x1b``) nor the passwords of URLs.
    """
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    text = value if isinstance(value, str) else str(value)
    text = without_passwords(text)
    return text if text.isprintable() else "".join(map(_printable, text))


def shown_lines(text: object) -> str:
    """Return the same for text of several lines, each on a line of its own."""
    return "\n".join(map(shown, str(text).split("\n")))


def widest(rows: Iterable[Sequence[str]]) -> list[int]:
    """Return the width of the widest cell of each column, 0 where there is no row."""
    widths: list[int] = []
    for row in rows:
        own = list(map(cell_width, row))
        widths = list(map(max, widths, own)) if widths else own
    return widths


def duration(seconds: float) -> str:
    """Return a time for people, such as ``0.3 s``, ``4 min 5 s`` or ``3 h 20 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


class Layout:
    """How a table is laid out; its rows may be more than fit into memory.

    Attributes:
        width: How many cells of a terminal a line takes at most.

    Args:
        header: The columns' names.
        widths: The width of the widest cell below each name, as :func:`widest` says.
        left: The names of the columns that are aligned left; the others are aligned right.
        wrap: Break names wider than this, where their words meet; None leaves them whole.
    """

    def __init__(
        self,
        header: Sequence[str],
        widths: Sequence[int] = (),
        *,
        left: Collection[str] = (),
        wrap: int | None = None,
    ) -> None:
        names = list(map(shown, header))
        self._parts = [[name] if wrap is None else _broken(name, wrap) for name in names]
        own = [max(map(cell_width, parts)) for parts in self._parts]
        self._widths = list(map(max, widths, own)) if widths else own
        self._left = [name in left for name in header]
        self.width = sum(self._widths) + len(_GAP) * (len(names) - 1)

    def heading(self) -> list[str]:
        """Return the lines of the header, and a rule."""
        tall = max(map(len, self._parts))
        lines = zip(*([""] * (tall - len(parts)) + parts for parts in self._parts), strict=True)
        return [*map(self.line, lines), "─" * self.width]

    def line(self, cells: Sequence[str]) -> str:
        """Return the line of a row."""
        padded = (
            cell + " " * (width - cell_width(cell))
            if left
            else " " * (width - cell_width(cell)) + cell
            for cell, width, left in zip(cells, self._widths, self._left, strict=True)
        )
        return _GAP.join(padded).rstrip()


def columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[str] = ()
) -> list[str]:
    """Return the lines of a small table: the header, a rule, and one line for each row."""
    cells = [list(map(shown, row)) for row in rows]
    layout = Layout(header, widest(cells), left=left)
    return [*layout.heading(), *map(layout.line, cells)]


def cell_width(text: str) -> int:
    """Return how many cells of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _broken(name: str, wrap: int) -> list[str]:
    """Break a name where its words meet, into parts no wider than ``wrap`` where it can be."""
    parts = [""]
    for word in re.findall(r"[^\W_]+[\W_]*|[\W_]+", name):
        if parts[-1] and cell_width(parts[-1] + word) > wrap:
            parts.append("")
        parts[-1] += word
    return [part.rstrip() for part in parts]


def _printable(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]
