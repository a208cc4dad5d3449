"""The file of a journal: its tables, and how records become rows and rows become records.

SQLite with JSON in its columns, so that any language can read it. Each row is checked when it is
read: a journal that was edited or damaged is refused as a whole, with the row named.
:mod:`hpsearch.storage.journal` decides what is written when.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from hpsearch import validators
from hpsearch.errors import ArgumentError, HpsearchError, JournalError, brief
from hpsearch.space.space import Space
from hpsearch.space.thresholds import Threshold, check_thresholds
from hpsearch.study.best import DIRECTIONS
from hpsearch.study.outcome import INTERRUPTED, TrialState
from hpsearch.study.record import TrialRecord
from hpsearch.study.serial import dumps, loads, record_from_dict
from hpsearch.study.study import Study

SCHEMA_VERSION = 2
APPLICATION_ID = int.from_bytes(b"hpsr", "big")  # in the file's header: the file is ours
WAITING = "waiting"  # an enqueued trial that has not started; the other states are TrialState's
MAX_ATTEMPTS = 3
"""How often a trial may take its process down before it counts as failed."""

_BUSY_TIMEOUT = 60.0  # seconds to wait while another study writes to the same file
_CHECKED_WHOLE = 2**24  # bytes up to which a file is checked as a whole: some 10 ms
_SCHEMA = (
    """CREATE TABLE study (
        key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, directions TEXT NOT NULL, space TEXT,
        seed INTEGER NOT NULL, backend TEXT NOT NULL, n_trials INTEGER, owner TEXT NOT NULL,
        timeout REAL, chosen TEXT, thresholds TEXT)""",
    """CREATE TABLE trial (
        study INTEGER NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL,
        attempts INTEGER NOT NULL, retry_of INTEGER, started REAL NOT NULL, ended REAL,
        objectives TEXT, params TEXT, fixed TEXT, derived TEXT, distributions TEXT, attrs TEXT,
        error TEXT, duration REAL, constraints TEXT, told INTEGER,
        PRIMARY KEY (study, number)) WITHOUT ROWID""",
    """CREATE TABLE report (
        study INTEGER NOT NULL, number INTEGER NOT NULL, step INTEGER NOT NULL,
        value TEXT NOT NULL, PRIMARY KEY (study, number, step)) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_SINCE_VERSION_1 = {  # of hpsearch 0.1.0
    ("study", "timeout"): "REAL",
    ("study", "chosen"): "TEXT",
    ("study", "thresholds"): "TEXT",
    ("trial", "duration"): "REAL",
    ("trial", "constraints"): "TEXT",
    ("trial", "told"): "INTEGER",
}
_FROM_VERSION_1 = (
    *(
        f"ALTER TABLE {table} ADD COLUMN {name} {kind}"
        for (table, name), kind in _SINCE_VERSION_1.items()
    ),
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


_ORPHANS = """
    WITH RECURSIVE used (key) AS (
        SELECT MIN(study) FROM {table}
        UNION ALL
        SELECT (SELECT MIN(study) FROM {table} WHERE study > key) FROM used WHERE key IS NOT NULL)
    SELECT study, number FROM used JOIN {table} ON study = key
    WHERE key NOT IN (SELECT key FROM study) LIMIT 1"""
"""Looks at one row for each study, however many there are."""


class Row(NamedTuple):
    """A trial as the file has it.

    Attributes:
        trial: The record; while it waits it is in the state ``running``.
        state: The row's state: one of ``TrialState``'s, or ``WAITING``.
        attempts: How often the trial started without coming to an end.
        told: Its place in the order in which the study's trials ended, None where it has not
            ended, or did under hpsearch 0.1.0.
    """

    trial: TrialRecord
    state: str
    attempts: int
    told: int | None

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

    @property
    def end(self) -> tuple[bool, float, int]:
        """Sorts rows by the order in which their trials ended."""
        if self.told is not None:
            return True, self.told, self.trial.number
        return False, self.trial.ended or self.trial.started, self.trial.number


def path_of(storage: str | PathLike[str]) -> Path:
    """Return the absolute path of a journal.

    Raises:
        ArgumentError: It is not the path of a file.
    """
    if not isinstance(storage, str | PathLike) or not os.fspath(storage):
        raise ArgumentError(f"storage is {storage!r}, expected a path such as 'study.db'")
    text = os.fspath(storage)
    if "://" in text or text == ":memory:":
        given = "a URL" if "://" in text else repr(text)  # a URL may hold a password
        raise ArgumentError(f"storage is {given}, expected the path of a file such as 'study.db'")
    # A link and the file that it names are one journal, with one lock.
    return Path(os.path.realpath(text))


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open a journal, or start one where there is no file; what is in one stays as it is.

    Raises:
        JournalError: The schema is newer than this version of hpsearch.
    """
    if path.exists() and path.stat().st_nlink > 1:
        raise JournalError(
            f"the journal {path} has another name, a hard link, and SQLite keeps what is not yet "
            "in the file under one of them; remove the link, or copy the file"
        )
    connection = _connect(path, "mode=rwc")
    try:
        _check_pages(path, connection)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            version = _version(connection)
            for statement in {0: _SCHEMA, 1: _FROM_VERSION_1}.get(version, ()):
                connection.execute(statement)
            _check_schema(path, connection)
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
    # The writer calls checkpoint() itself; this bounds a log that grows faster: 32 MB.
    connection.execute("PRAGMA wal_autocheckpoint = 8000")


def checkpoint(connection: sqlite3.Connection) -> None:
    """Bring what is in the log into the file, as far as nobody reads it."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def changes_by_others(connection: sqlite3.Connection) -> int:
    """Return a number that differs from an earlier one if another connection wrote meanwhile."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


def close(connection: sqlite3.Connection) -> None:
    """Close a journal, and leave one plain file that can be read without creating others.

    Where another study has it open, or the disk is full, its log stays next to it, as part of it.
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
        raise JournalError(f"the journal {path} does not exist")
    # SQLite's own note of a change that a kill cut short: only a writer may take that back.
    mode = "mode=rw" if Path(f"{path}-journal").exists() else "mode=ro"
    with explained(path), contextlib.closing(_connect(path, mode)) as connection, connection:
        _check_pages(path, connection)
        connection.execute("BEGIN")
        _check_schema(path, connection)
        yield connection


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says about a file that it cannot use into a :class:`JournalError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: sqlite3.Error) -> JournalError:
    """Return the error that says what SQLite said about a file."""
    return JournalError(
        f"the journal {path} cannot be used: {error}. Check that it is whole and that this "
        "process may write it, or name another file"
    )


def check_file(path: Path) -> None:
    """Raise :class:`JournalError` if a file is something else than a journal; touch nothing."""
    try:
        is_there = path.exists()
    except OSError as error:  # a name that is too long, say
        raise JournalError(f"{path} cannot be the name of a file: {error.strerror}") from None
    if not path.parent.is_dir():
        raise JournalError(f"the folder {path.parent} of the journal does not exist; create it")
    if path.is_dir():
        raise JournalError(f"{path} is a folder; name a file in it, such as {path / 'study.db'}")
    if is_there and not path.is_file():
        raise JournalError(f"{path} is not a regular file; name another one")
    if not is_there or not path.stat().st_size:
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
        raise JournalError(f"{path} is not a journal of hpsearch; name another file")


def study_names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all studies, the oldest first."""
    return [row["name"] for row in connection.execute("SELECT name FROM study ORDER BY key")]


def find_study(connection: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    """Return a study's row, None if the file has no study of that name."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM study WHERE name = ?", (name,)
    ).fetchone()
    return row


def read_study(path: Path, row: sqlite3.Row, trials: list[TrialRecord] | None = None) -> Study:
    """Return the study of a row, with the trials given.

    Raises:
        JournalError: The row is not one that hpsearch writes.
    """
    with _row_named(path, f"study {brief(row['name'])}"):
        facts = dict(row)
        directions = _read(facts, "directions", loads)
        if (
            not isinstance(directions, list)
            or not directions
            or any(direction not in DIRECTIONS for direction in directions)
        ):
            raise ValueError(f"directions is {brief(directions)}, expected a list of {DIRECTIONS}")
        name = validators.text("name", facts["name"])
        if not isinstance(facts["backend"], str):
            raise TypeError(f"backend is {brief(facts['backend'])}, expected a text")
        seed = validators.whole("seed", facts["seed"], below=2**32)
        n_trials = validators.optional_whole("n_trials", facts["n_trials"], 1)
        timeout = validators.seconds("timeout", facts.get("timeout"))
        space = _read(facts, "space", Space.from_json)
        chosen = _read(facts, "chosen", loads)
        if chosen is not None and not (
            isinstance(chosen, list) and all(type(number) is int for number in chosen)
        ):
            raise ValueError(f"chosen is {brief(chosen)}, expected a list of numbers")
        stated = _read(facts, "thresholds", _read_thresholds) or ()
        try:
            thresholds = check_thresholds(stated, directions)
        except ValueError as error:
            raise ValueError(f"thresholds is {error}") from None
        read_owner(facts)
    study = Study(
        name,
        directions,
        n_trials=n_trials,
        timeout=timeout,
        seed=seed,
        space=space,
        parameter_names=None if space is None else tuple(space.parameters),
        backend=facts["backend"],
        thresholds=thresholds,
        trials=trials,
    )
    study.chosen = None if chosen is None else tuple(chosen)
    return study


def _read_thresholds(text: str) -> list[Threshold]:
    stated = loads(text)
    if not isinstance(stated, list):
        raise TypeError("expected a list")
    return [Threshold(**item) for item in stated]


def read_owner(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a study's row says of the process that runs it.

    Raises:
        ValueError: It says something else.
    """
    owner = _read(facts, "owner", loads)
    if (
        not isinstance(owner, dict)
        or type(owner.get("pid")) is not int
        or not isinstance(owner.get("host"), str)
    ):
        raise ValueError(f"owner is {brief(owner)}, expected a process and its host")
    return owner


def read_trials(path: Path, connection: sqlite3.Connection, row: sqlite3.Row) -> list[Row]:
    """Return the trials of a study's row, by number.

    Raises:
        JournalError: A row is not one that hpsearch writes, or does not fit the others.
    """
    study, key = read_study(path, row), (row["key"],)
    reports: dict[int, list[dict[str, Any]]] = {}
    for number, step, value in connection.execute(
        "SELECT number, step, value FROM report WHERE study = ? ORDER BY number, step", key
    ):
        with _row_named(path, f"study {study.name!r}, the report of trial {number!r}"):
            values = _read({"value": value}, "value", loads)
            reports.setdefault(number, []).append({"step": step, "values": values})
    rows: dict[int, Row] = {}
    ids: set[str] = set()
    for data in connection.execute("SELECT * FROM trial WHERE study = ? ORDER BY number", key):
        with _row_named(path, f"study {study.name!r}, trial {data['number']!r}"):
            found = _read_row(dict(data), reports.pop(data["number"], []), study)
            trial = found.trial
            if trial.id in ids:
                raise ValueError(f"id {trial.id!r} is another trial's too")
            if trial.retry_of is not None:
                retried = rows.get(trial.retry_of)
                if retried is None or retried.state != TrialState.FAILED:
                    raise ValueError(f"retry_of is {trial.retry_of}, and no such trial failed")
        ids.add(trial.id)
        rows[trial.number] = found
    for number in reports:
        with _row_named(path, f"study {study.name!r}, the report of trial {number!r}"):
            raise ValueError("there is no such trial")
    for number in study.chosen or ():
        if number not in rows or rows[number].state == WAITING:
            with _row_named(path, f"study {study.name!r}"):
                raise ValueError(
                    f"chosen is {brief(study.chosen)}, and trial {number} is not there"
                )
    return list(rows.values())


def check_point(space: Space, trial: TrialRecord) -> None:
    """Raise :class:`SpaceError` unless a trial has a point of the space.

    One that is to run may also give values that the space function returns.
    """
    params: Mapping[str, Any] = trial.params
    if not trial.ended_well:
        params = {name: value for name, value in params.items() if name in space.parameters}
    space.validate(params)


_JSON = (
    "objectives",
    "params",
    "fixed",
    "derived",
    "distributions",
    "attrs",
    "constraints",
    "error",
)


def _read_row(facts: dict[str, Any], reports: list[dict[str, Any]], study: Study) -> Row:
    state, attempts, told = facts["state"], facts["attempts"], facts.pop("told", None)
    if type(attempts) is not int or attempts < 0:
        raise ValueError(f"attempts is {brief(attempts)}, expected a whole number")
    if told is not None and (type(told) is not int or not 1 <= told < 2**62):
        raise ValueError(f"told is {brief(told)}, expected a whole number")
    for name in _JSON:
        if facts.get(name) is None:
            facts.pop(name, None)
        else:
            facts[name] = _read(facts, name, loads)
    if state == WAITING:
        facts["state"] = str(TrialState.RUNNING)
    if reports:
        facts["intermediate"] = reports
    facts["study_seed"] = study.seed
    trial = record_from_dict(facts, directions=len(study.directions), space=study.space)
    if state != WAITING:
        _check_drawn(study.space, trial)
    elif study.space is not None:
        check_point(study.space, trial)
    if trial.duration is None and trial.ended is not None:  # of hpsearch 0.1.0
        trial.duration = max(trial.ended - trial.started, 0.0)
    return Row(trial, state, attempts, told)


def _check_drawn(space: Space | None, trial: TrialRecord) -> None:
    """Raise :class:`ValueError` unless it is known what each parameter was drawn from."""
    drawn, params = trial.distributions, trial.params
    if drawn or space is None:
        wrong = drawn.keys() ^ params.keys()
    else:
        wrong = params.keys() - space.parameters.keys()
    if wrong:
        raise ValueError(f"params and distributions differ in {min(wrong)!r}")


def _read(facts: Mapping[str, Any], column: str, read: Callable[[str], Any]) -> Any:
    text = facts.get(column)
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"{column} is {brief(text)}, expected a text")
    try:
        return read(text)
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as e:
        raise ValueError(f"{column} is {brief(text)}: {e}") from None


@contextlib.contextmanager
def _row_named(path: Path, row: str) -> Iterator[None]:
    """Turn what is wrong with a row into an error that names the file and the row."""
    try:
        yield
    except (TypeError, ValueError, HpsearchError) as error:
        raise JournalError(f"the journal {path} cannot be used: {row}: {error}") from None


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


def _check_pages(path: Path, connection: sqlite3.Connection) -> None:
    """Have SQLite check a file that is small: that it is whole, and that its indices fit."""
    if path.stat().st_size > _CHECKED_WHOLE:
        return
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        what = " ".join(str(found).split())
        raise JournalError(f"the journal {path} cannot be used: it is damaged: {what}")


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _check_schema(path: Path, connection: sqlite3.Connection) -> None:
    """Check what holds for the whole file, whichever study is read."""
    _check_version(path, connection)
    _check_tables(path, connection)
    _check_keys(path, connection)


def _check_version(path: Path, connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path} was written by a newer hpsearch: its schema is version {version}, and this "
            f"one knows {SCHEMA_VERSION}. Run 'pip install --upgrade hpsearch'"
        )
    if not version:
        raise JournalError(f"the journal {path} is empty")


@functools.cache
def _columns() -> tuple[tuple[str, str], ...]:
    """Return the tables and columns of the schema."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for statement in _SCHEMA:
            connection.execute(statement)
        return _columns_of(connection)


def _columns_of(connection: sqlite3.Connection) -> tuple[tuple[str, str], ...]:
    found = connection.execute(
        "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c"
    )
    return tuple((table, column) for table, column in found)


def _check_tables(path: Path, connection: sqlite3.Connection) -> None:
    """Raise :class:`JournalError` if a column is missing; further ones do no harm."""
    older = _version(connection) == 1
    found = set(_columns_of(connection))
    for table, column in _columns():
        if (table, column) not in found and not (older and (table, column) in _SINCE_VERSION_1):
            raise JournalError(
                f"the journal {path} cannot be used: the table {table!r} has no column {column!r}"
            )


def _check_keys(path: Path, connection: sqlite3.Connection) -> None:
    """Raise :class:`JournalError` if a row is of no study: nobody would miss it."""
    for table in ("trial", "report"):
        for key, number in connection.execute(_ORPHANS.format(table=table)):
            raise JournalError(
                f"the journal {path} cannot be used: the table {table!r} has trial {number!r} of "
                f"study {key!r}, and there is no study with that key"
            )


def encode(value: Any) -> str | None:
    """Return plain data as JSON text, None if it is empty."""
    return dumps(value) if value else None
