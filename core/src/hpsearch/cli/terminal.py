"""What the commands print: whatever it is made of, a terminal can take it."""

from __future__ import annotations

from typing import Any

import click

from hpsearch.report.text import shown_lines


def say(text: object, **style: Any) -> None:
    """Print text of one or more lines, without control codes and without passwords of URLs.

    Args:
        text: What to print; it may hold anything that a file or a plugin says.
        style: What :func:`click.secho` takes, such as ``fg`` and ``nl``.
    """
    click.secho(shown_lines(text), **style)
