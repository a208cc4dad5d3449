"""Writing a file whole or not at all, and never over one that hpsearch did not write.

A file that exists is replaced only if it is what hpsearch writes there: a report over a report,
JSON of a study over JSON of a study. A journal, or a file of the user's own, is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from hpsearch.errors import ArgumentError, HpsearchError
from hpsearch.report.text import shown

_HEAD = 65_536
"""How many bytes at the start of a file say what it is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that hpsearch writes.

    Attributes:
        name: What it is called.
        mark: What its beginning matches.
    """

    name: str
    mark: re.Pattern[bytes]


PAGE = Kind(
    "report",
    re.compile(rb'<!DOCTYPE html>\s.{,500}?<meta name="generator" content="hpsearch ', re.DOTALL),
)
JSON = Kind(
    "JSON file",
    re.compile(rb'\{"format": \d+, "name": (null|"([^"\\]|\\.)*"), "backend": ', re.DOTALL),
)
CSV = Kind("CSV file", re.compile(rb"number,id,state,"))


def check(path: str | PathLike[str], kind: Kind) -> None:
    """Check that a file can be written without a loss, before it is made.

    Raises:
        ArgumentError: There is a file that hpsearch did not write as this kind, or a folder.
        HpsearchError: The path cannot be looked at.
    """
    with _explained(path, kind):
        _check(path, kind)


def write(path: str | PathLike[str], text: str, kind: Kind) -> Path:
    """Write a file, whole or not at all; an older one of the same kind is replaced.

    Args:
        path: The file; its folder must exist. A link is followed.
        text: What goes into it, as UTF-8.
        kind: What it is.

    Returns:
        The file's absolute path.

    Raises:
        ArgumentError: There is a file that hpsearch did not write as this kind, or a folder.
        HpsearchError: It cannot be written. An older file is as it was.
    """
    with _explained(path, kind):
        status = _check(path, kind)
        if status is not None and not stat.S_ISREG(status.st_mode):
            # A device or a pipe, such as /dev/stdout: there is nothing to replace.
            Path(path).write_text(text, encoding="utf-8", newline="")
        else:
            _replace(Path(os.path.realpath(path)), text, keeps_mode=status is not None)
    return Path(path).absolute()


def _check(path: str | PathLike[str], kind: Kind) -> os.stat_result | None:
    """Return what is there now and may be written over, None if nothing is."""
    if "://" in os.fspath(path):  # it may hold a password
        raise ArgumentError(f"the {kind.name} cannot go to a URL; give the path of a file")
    # Of "missing/../study.db" the system says that it is not there, and its real path is.
    real = Path(os.path.realpath(path))
    for suffix in ("-wal", "-shm", "-journal"):
        journal = real.with_name(real.name.removesuffix(suffix))
        if journal != real and journal.is_file() and _is_database(journal):
            raise ArgumentError(
                f"{shown(path)} belongs to the journal {shown(journal)}; name another file for the "
                f"{kind.name}"
            )
    try:
        status = real.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISCHR(status.st_mode) or stat.S_ISFIFO(status.st_mode):
        return status
    if stat.S_ISDIR(status.st_mode):
        raise ArgumentError(f"{shown(path)} is a folder; name a file for the {kind.name}")
    if not stat.S_ISREG(status.st_mode):
        raise ArgumentError(f"{shown(path)} is not a file; name another for the {kind.name}")
    if status.st_size and (found := _foreign(real, kind)):
        raise ArgumentError(
            f"{shown(path)} {found}, and would be lost; name another file for the {kind.name}, or "
            "move that one away"
        )
    if not os.access(path, os.W_OK):
        raise PermissionError("this process may not write it")
    return status


def _foreign(path: Path, kind: Kind) -> str | None:
    """Return why a file is not to be replaced, None if it is of the kind."""
    if _is_database(path):
        return "is a journal or another SQLite database"
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if kind.mark.match(head):
        return None
    for other in (PAGE, JSON, CSV):
        if other.mark.match(head):
            return f"is a {other.name} of hpsearch"
    return "was not written by hpsearch"


def _is_database(path: Path) -> bool:
    # Through SQLite and not with open(): closing a file drops this process's locks on it, which a
    # search in another thread may hold on its journal.
    uri = f"{Path(os.path.realpath(path)).as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            connection.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as error:
            return error.sqlite_errorcode != sqlite3.SQLITE_NOTADB
    return True


def _replace(target: Path, text: str, *, keeps_mode: bool) -> None:
    draft = target.with_name(f".hpsearch-{secrets.token_hex(8)}.tmp")
    try:
        with draft.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if keeps_mode:
            shutil.copymode(target, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(path: str | PathLike[str], kind: Kind) -> Iterator[None]:
    try:
        yield
    except HpsearchError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise HpsearchError(
            f"the {kind.name} cannot be written to {shown(path)}: {shown(reason)}"
        ) from error
