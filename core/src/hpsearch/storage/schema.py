"""The file of a journal: its tables, and how trials become rows and rows become trials.

SQLite with JSON in its columns, so that any language can read it.
:mod:`hpsearch.storage.journal` decides what is written when.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from hpsearch.errors import ArgumentError, JournalError
from hpsearch.session.coordinator import INTERRUPTED
from hpsearch.space import distributions
from hpsearch.space.distributions import Distribution
from hpsearch.space.space import Space
from hpsearch.study.study import Study
from hpsearch.study.trial import Trial, TrialError, TrialState

SCHEMA_VERSION = 1
APPLICATION_ID = int.from_bytes(b"hpsr", "big")  # in the file's header: the file is ours
WAITING = "waiting"  # an enqueued trial that has not started; the other states are TrialState's
MAX_ATTEMPTS = 3
"""How often a trial may take its process down before it counts as failed."""

_BUSY_TIMEOUT = 60.0  # seconds to wait while another study writes to the same file
_SCHEMA = (
    """CREATE TABLE study (
        key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, directions TEXT NOT NULL, space TEXT,
        seed INTEGER NOT NULL, backend TEXT NOT NULL, n_trials INTEGER, owner TEXT NOT NULL)""",
    """CREATE TABLE trial (
        study INTEGER NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL,
        attempts INTEGER NOT NULL, retry_of INTEGER, started REAL NOT NULL, ended REAL,
        objectives TEXT, params TEXT, fixed TEXT, derived TEXT, distributions TEXT, attrs TEXT,
        error TEXT, PRIMARY KEY (study, number)) WITHOUT ROWID""",
    """CREATE TABLE report (
        study INTEGER NOT NULL, number INTEGER NOT NULL, step INTEGER NOT NULL,
        value TEXT NOT NULL, PRIMARY KEY (study, number, step)) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class Record(NamedTuple):
    """A trial as the file has it.

    Attributes:
        trial: The trial; while it waits it is in the state ``running``.
        state: The row's state: one of ``TrialState``'s, or ``WAITING``.
        attempts: How often the trial started without coming to an end.
    """

    trial: Trial
    state: str
    attempts: int

    @property
    def lost(self) -> bool:
        """Whether the trial took its process down so often that it counts as failed."""
        return self.state == TrialState.RUNNING and self.attempts >= MAX_ATTEMPTS

    @property
    def unfinished(self) -> bool:
        """Whether the trial is to run, again or at all: it waits, was cut short or interrupted."""
        if self.state == TrialState.FAILED:
            return self.trial.error is not None and self.trial.error.type == INTERRUPTED
        return self.state in (TrialState.RUNNING, WAITING) and not self.lost


def path_of(storage: str | PathLike[str]) -> Path:
    """Return the absolute path of a journal.

    Raises:
        ArgumentError: It is no path of a file.
    """
    if not isinstance(storage, str | PathLike) or not os.fspath(storage):
        raise ArgumentError(f"storage is {storage!r}, expected a path such as 'study.db'")
    text = os.fspath(storage)
    if "://" in text or text == ":memory:":
        given = "a URL" if "://" in text else repr(text)  # a URL may hold a password
        raise ArgumentError(f"storage is {given}, expected the path of a file such as 'study.db'")
    return Path(text).absolute()


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open a journal, or start one where there is no file; what is in one stays as it is.

    Raises:
        JournalError: The schema is newer than this version of hpsearch.
    """
    connection = _connect(path, "mode=rwc")
    try:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if not _version(connection):
                for statement in _SCHEMA:
                    connection.execute(statement)
            _check_version(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def write_ahead(connection: sqlite3.Connection, *, durable: bool) -> None:
    """Get ready for many small writes, each from now on one piece at the end of a log.

    Readers and the writer do not wait for each other; a durable journal alone waits for the disk.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # Two that ask for this at once are refused at once, and do not wait for each other.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.001, 0.01))
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")  # the log goes into the file at 16 MB


def close(connection: sqlite3.Connection) -> None:
    """Close a journal, and leave one plain file that can be read without creating others.

    Where another study has it open, or the disk is full, its log stays beside it and is part of it.
    """
    with contextlib.closing(connection), contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA journal_mode = DELETE")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a journal to read it as it is at this moment, whoever writes to it meanwhile.

    Raises:
        JournalError: There is none, or its schema is newer than this version of hpsearch.
    """
    check_file(path)
    if not path.exists():
        raise JournalError(f"there is no journal {path}")
    # SQLite's own note of a change that a kill cut short: only a writer may take that back.
    mode = "mode=rw" if Path(f"{path}-journal").exists() else "mode=ro"
    with explained(path), contextlib.closing(_connect(path, mode)) as connection, connection:
        connection.execute("BEGIN")
        _check_version(path, connection)
        yield connection


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says about a file that it cannot use into a :class:`JournalError`."""
    try:
        yield
    except (sqlite3.Error, json.JSONDecodeError) as error:
        raise JournalError(
            f"the journal {path} cannot be used: {error}. Check that it is whole and that this "
            "process may write it, or name another file"
        ) from error


def check_file(path: Path) -> None:
    """Raise :class:`JournalError` if a file is something else than a journal; touch nothing."""
    if not path.parent.is_dir():
        raise JournalError(f"the folder {path.parent} of the journal does not exist; create it")
    if path.is_dir():
        raise JournalError(f"{path} is a folder; name a file in it, such as {path / 'study.db'}")
    if not path.exists() or not path.stat().st_size:
        return
    # Through SQLite and not with open(): closing a file drops this process's locks on it, which a
    # search in another thread may hold.
    with explained(path), contextlib.closing(_connect(path, "mode=ro&immutable=1")) as connection:
        try:
            (mark,) = connection.execute("PRAGMA application_id").fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
                return  # damaged, or just being written: whoever opens it properly will know
            mark = None
    if mark != APPLICATION_ID:
        raise JournalError(f"{path} is no journal of hpsearch; name another file")


def study_names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all studies, the oldest first."""
    return [row["name"] for row in connection.execute("SELECT name FROM study ORDER BY key")]


def find_study(connection: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    """Return a study's row, None if the file has no study of that name."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM study WHERE name = ?", (name,)
    ).fetchone()
    return row


def read_study(row: sqlite3.Row) -> Study:
    """Return the study of a row, without its trials."""
    space = None if row["space"] is None else Space.from_json(row["space"])
    return Study(
        row["name"],
        decode(row["directions"]),
        n_trials=row["n_trials"],
        seed=row["seed"],
        space=space,
        parameter_names=None if space is None else tuple(space.parameters),
        backend=row["backend"],
    )


def read_trials(connection: sqlite3.Connection, row: sqlite3.Row) -> list[Record]:
    """Return the trials of a study's row, by number."""
    rows = connection.execute("SELECT * FROM trial WHERE study = ? ORDER BY number", (row["key"],))
    space = {} if row["space"] is None else Space.from_json(row["space"]).parameters
    records = {trial["number"]: _record(trial, row["seed"], space) for trial in rows}
    reports = connection.execute(
        "SELECT number, step, value FROM report WHERE study = ? ORDER BY number, step",
        (row["key"],),
    )
    for number, step, value in reports:
        records[number].trial.intermediate[step] = tuple(decode(value))
    return list(records.values())


def _record(row: sqlite3.Row, study_seed: int, space: Mapping[str, Distribution]) -> Record:
    drawn = {n: distributions.from_dict(d) for n, d in (decode(row["distributions"]) or {}).items()}
    # A journal of hpsearch 0.1.0 has 0.30000000000000004 for 0.3.
    trial = Trial(
        row["number"],
        params=distributions.canonical(decode(row["params"]) or {}, {**space, **drawn}),
        study_seed=study_seed,
        id=row["id"],
        fixed=distributions.canonical(decode(row["fixed"]) or {}, space),
        retry_of=row["retry_of"],
        started=row["started"],
    )
    trial.ended = row["ended"]
    trial.attrs = decode(row["attrs"]) or {}
    trial._derive(decode(row["derived"]) or {})
    if row["state"] != WAITING:
        trial.state = TrialState(row["state"])
    if row["objectives"] is not None:
        trial.objectives = tuple(decode(row["objectives"]))
    if row["error"] is not None:
        trial.error = TrialError.from_dict(decode(row["error"]))
    trial.distributions = drawn
    return Record(trial, row["state"], row["attempts"])


def _connect(path: Path, parameters: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?{parameters}",
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,  # the history calls from any thread, one at a time
    )
    connection.row_factory = sqlite3.Row
    return connection


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _check_version(path: Path, connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path} was written by a newer hpsearch: its schema is version {version}, and this "
            f"one knows {SCHEMA_VERSION}. Run 'pip install --upgrade hpsearch'"
        )
    if not version:
        raise JournalError(f"the journal {path} is empty")


# JSON has no NaN and no infinity: they are written as {"$float": "nan"}.

_FLOAT = "$float"
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def encode(value: Any) -> str | None:
    """Return a value as JSON text, None if it is empty."""
    if not value:
        return None
    try:
        return _encode(value)
    except ValueError:
        return _encode(_without_specials(value))


def decode(text: str | None) -> Any:
    """Return the value of JSON text, None for None."""
    if text is None:
        return None
    return json.loads(text, object_hook=_special if _FLOAT in text else None)


def _without_specials(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(float(value))}
    if isinstance(value, dict):
        return {name: _without_specials(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_specials(item) for item in value]
    return value


def _special(data: dict[str, Any]) -> Any:
    text = data.get(_FLOAT)
    return float(text) if len(data) == 1 and text in ("nan", "inf", "-inf") else data
