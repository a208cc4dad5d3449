"""A study in other forms: a table to read, JSON and CSV for programs, a pandas data frame.

JSON is strict: numbers that JSON has no word for become the texts ``"nan"``, ``"inf"`` and
``"-inf"``, which Python's ``float`` and most other readers take back. CSV and the data frame have
the same columns, one row for each trial; a parameter's column is called ``params_<name>``.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike
from typing import TYPE_CHECKING, Any

from hpsearch.errors import HpsearchError
from hpsearch.report import files
from hpsearch.report.text import Layout, shown, widest
from hpsearch.validators import flag

if TYPE_CHECKING:
    import pandas

    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
from hpsearch.study.serial import record_to_dict, strict

FORMAT = 1
"""The version of the JSON form; it changes when a reader of the older one would be misled."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet runs as a formula."""

# For people.


def table(study: Study, width: int | None = None) -> str:
    """Return the trials as a plain-text table; the best has a star.

    Args:
        study: The study.
        width: Characters a line, the terminal's if None. Long names are broken where that makes
            the table fit; where it cannot, each trial's parameters stand below it.
    """
    lines = table_lines(study, study.trials, study.best_trials(), width)
    return "\n".join(line for line, _ in lines)


def table_lines(
    study: Study,
    trials: Sequence[TrialRecord],
    best: Collection[TrialRecord],
    width: int | None = None,
) -> Iterator[tuple[str, TrialRecord | None]]:
    """Yield the lines of :func:`table`, each with the trial that it shows, None for the header.

    Args:
        study: The study.
        trials: Those of its trials to show, in this order.
        best: Those that get a star.
        width: Characters a line, the terminal's if None.
    """
    width = shutil.get_terminal_size((100, 24)).columns if width is None else width
    starred = {trial.number for trial in best}
    names = _union(trials)
    header = ["trial", "state", *objective_names(study), "seconds"]

    def facts(trial: TrialRecord) -> list[str]:
        return _facts(study, trial, starred)

    def cells(trial: TrialRecord) -> list[str]:
        return [*facts(trial), *(shown(trial[n]) if n in trial else "" for n in names)]

    # The cells are made twice, for the widths and for the lines: all of them may not fit in memory.
    layout = _fitting([*header, *names], lambda: map(cells, trials), width)
    if layout is None:
        layout = Layout(header, widest(map(facts, trials)), left=["state"])
        names = []
    yield from ((line, None) for line in layout.heading())
    for trial in trials:
        yield layout.line(cells(trial)), trial
        if not names:
            yield from ((below, trial) for below in _params_below(trial, width))


def failure_kinds(study: Study) -> list[list[TrialRecord]]:
    """Return the failed trials, those with the same error together, the earliest first."""
    kinds: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in study.trials:
        if trial.error is not None:
            kinds.setdefault((trial.error.type, trial.error.message), []).append(trial)
    return list(kinds.values())


def objective_names(study: Study) -> list[str]:
    """Return what the objective values are called, such as ``objective`` or ``objective_0``."""
    if len(study.directions) == 1:
        return ["objective"]
    return [f"objective_{index}" for index in range(len(study.directions))]


def _fitting(
    header: Sequence[str], rows: Callable[[], Iterable[Sequence[str]]], width: int
) -> Layout | None:
    """Return how to lay out a table of some width, None if its columns are too many or too wide."""
    wraps = (None, 12, 7)
    if Layout(header, wrap=wraps[-1]).width > width:
        return None
    widths = widest(rows())
    layouts = (Layout(header, widths, left=["state"], wrap=wrap) for wrap in wraps)
    return next((layout for layout in layouts if layout.width <= width), None)


def _facts(study: Study, trial: TrialRecord, starred: Collection[int]) -> list[str]:
    mark = "* " if trial.number in starred else ""
    values = trial.objectives or (None,) * len(study.directions)
    seconds = "" if trial.duration is None else f"{trial.duration:.1f}"
    objectives = ["" if value is None else shown(value, digits=6) for value in values]
    return [f"{mark}{shown(trial.number)}", str(trial.state), *objectives, seconds]


def _params_below(trial: TrialRecord, width: int) -> list[str]:
    # A parameter is broken only if it is wider than a line: its spaces hold it together until then.
    words = (f"{shown(name)}={shown(value)}".replace(" ", "\0") for name, value in trial.items())
    indent = " " * 7
    lines = textwrap.wrap(
        " ".join(words),
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines]


# For programs.


def to_json(study: Study, path: str | PathLike[str] | None = None) -> str:
    """Return the study as strictly valid JSON on one line, and write it to ``path`` if given.

    The backend's options are left out: they may hold objects, and secrets.

    Raises:
        ArgumentError: ``path`` has a file that is not JSON of a study, written by this function.
        HpsearchError: The file cannot be written.
    """
    _check(path, files.JSON)
    record = {
        "format": FORMAT,
        "name": study.name,
        "backend": study.backend,
        "directions": list(study.directions),
        "n_trials": study.n_trials,
        "timeout": study.timeout,
        "seed": study.seed,
        "space": None if study.space is None else study.space.to_dict(),
        "counts": study.counts(),
        "best": [trial.number for trial in study.best_trials()],
        "trials": [_record(trial) for trial in study.trials],
    }
    text = json.dumps(strict(record), allow_nan=False)
    return _written(text, path, files.JSON)


def to_csv(study: Study, path: str | PathLike[str] | None = None, *, raw: bool = False) -> str:
    """Return the trials as CSV with a header, and write it to ``path`` if given.

    An empty cell is what a trial does not have; a parameter that is None reads ``None``. Cells
    with structure (intermediate results, facts) hold JSON.

    Args:
        study: The study.
        path: The file; its folder must exist.
        raw: Leave text as it is that a spreadsheet would run as a formula. Otherwise it gets an
            apostrophe in front.

    Raises:
        ArgumentError: ``path`` has a file that is not CSV of a study, written by this function.
        HpsearchError: The file cannot be written.
    """
    _check(path, files.CSV)
    raw = flag("raw", raw)
    columns, rows = _rows(study)
    safe = str if raw else _neutral
    buffer = _Lines()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(map(safe, columns))
    writer.writerows(
        [safe(_cell(row[name])) if name in row else "" for name in columns] for row in rows
    )
    return _written(buffer.getvalue(), path, files.CSV)


def dataframe(study: Study) -> pandas.DataFrame:
    """Return the trials as a pandas data frame, one row for each, with the columns of the CSV.

    Raises:
        HpsearchError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise HpsearchError(
            "a data frame needs pandas, which is not installed. Run: pip install pandas; "
            "study.to_csv() and study.to_json() need nothing more"
        ) from error
    columns, rows = _rows(study)
    return pandas.DataFrame(rows, columns=columns)


_INSIDE = ("fixed", "study_seed", "resume_from")
"""What a search needs to continue, and says nothing about what came of a trial."""


def _record(trial: TrialRecord) -> dict[str, Any]:
    return {
        **{name: value for name, value in record_to_dict(trial).items() if name not in _INSIDE},
        "seed": trial.seed,
        "feasible": trial.feasible,
        "started": _utc(trial.started).isoformat(),
        "ended": None if trial.ended is None else _utc(trial.ended).isoformat(),
    }


def _rows(study: Study) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns in reading order, and each trial as a mapping of some of them."""
    names = objective_names(study)
    rows = [_row(names, trial) for trial in study.trials]
    front = ["number", "id", "state", *names]
    back = ["seed", "retry_of", "started", "ended", "duration", "intermediate", "error"]
    found = dict.fromkeys(column for row in rows for column in row)
    middle = [
        column
        for prefix in ("params_", "derived_", "attrs_")
        for column in found
        if column.startswith(prefix)
    ]
    return [*front, *middle, *back, "traceback"], rows


def _row(names: list[str], trial: TrialRecord) -> dict[str, Any]:
    row: dict[str, Any] = {"number": trial.number, "id": trial.id, "state": str(trial.state)}
    row.update(zip(names, trial.objectives or (), strict=False))
    for prefix, values in (
        ("params", trial.params),
        ("derived", trial.derived),
        ("attrs", trial.attrs),
    ):
        row.update({f"{prefix}_{name}": value for name, value in values.items()})
    row["seed"] = trial.seed
    row["started"] = _utc(trial.started)
    if trial.retry_of is not None:
        row["retry_of"] = trial.retry_of
    if trial.ended is not None:
        row["ended"] = _utc(trial.ended)
        row["duration"] = trial.duration
    if trial.intermediate:
        row["intermediate"] = {step: list(values) for step, values in trial.intermediate.items()}
    if trial.error is not None:
        row["error"] = str(trial.error)
        row["traceback"] = trial.error.traceback
    return row


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(strict(value), allow_nan=False)
    return str(value)


class _Lines(io.StringIO):
    """Ends each line with a line feed alone.

    Before Python 3.13, :mod:`csv` quotes a carriage return only where it ends lines itself.
    """

    def write(self, line: str) -> int:
        return super().write(line.removesuffix("\r\n") + "\n")


def _neutral(cell: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run; a number stays a number."""
    if cell.startswith(_FORMULA) and not _is_number(cell):
        return f"'{cell}"
    return cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _union(trials: Iterable[TrialRecord]) -> list[str]:
    """Return every name that any trial has, in the order in which they first appear."""
    return list(dict.fromkeys(name for trial in trials for name in trial))


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _check(path: str | PathLike[str] | None, kind: files.Kind) -> None:
    if path is not None:
        files.check(path, kind)


def _written(text: str, path: str | PathLike[str] | None, kind: files.Kind) -> str:
    if path is not None:
        files.write(path, text, kind)
    return text
