"""Whose a run's folder is: a small file in it names the search and the trial.

So no search writes into a folder that another one left, and none deletes what is not its own.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

_OWNER = "hpsearch.json"


def claim(folder: Path, search: str, trial: int) -> bool:
    """Take a folder for a trial's run; return whether it is the trial's now.

    A folder that holds anything and does not name this trial as its owner is somebody else's, and
    stays as it is. Safe against other processes that claim folders at the same time.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # a file has the name
        return False
    if any(folder.iterdir()):
        if owner(folder) == (search, trial):
            return True
        named = _read(folder)
        if not (named.get("empty") and named.get("search") != search and _is_bare(folder)):
            return False
        (folder / _OWNER).unlink(missing_ok=True)
    try:
        with (folder / _OWNER).open("x") as file:
            json.dump({"search": search, "trial": trial}, file)
    except FileExistsError:  # another process was faster
        return False
    except FileNotFoundError:  # another process has just given the folder up
        return claim(folder, search, trial)
    return True


def owner(folder: Path) -> tuple[str, int] | None:
    """Return the search and the trial that a folder belongs to, None if it names none."""
    named = _read(folder)
    return (named["search"], named["trial"]) if {"search", "trial"} <= named.keys() else None


def give_up(folder: Path, *, keep_name: bool = False) -> None:
    """Delete a folder that holds nothing but its owner's name.

    Args:
        folder: The folder.
        keep_name: Leave it in place for the other trials of its search, who see that the name is
            given; another search may then take it.
    """
    with contextlib.suppress(OSError):  # another process has it
        if not _is_bare(folder):
            return
        if keep_name:
            (folder / _OWNER).write_text(json.dumps({**_read(folder), "empty": True}))
        else:
            (folder / _OWNER).unlink()
            folder.rmdir()


def _is_bare(folder: Path) -> bool:
    return [path.name for path in folder.iterdir()] == [_OWNER]


def _read(folder: Path) -> dict[str, Any]:
    try:
        named = json.loads((folder / _OWNER).read_text())
    except (OSError, ValueError):
        return {}
    return named if isinstance(named, dict) else {}
