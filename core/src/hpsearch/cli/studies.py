"""Studies in a terminal: the trials, the best of them, and why others failed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hpsearch.report.export import best_trials, failure_kinds, table_lines
from hpsearch.report.text import columns, shown

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study

_COLOURS = {"pruned": "yellow", "failed": "red", "running": "cyan"}


def print_study(study: Study) -> None:
    """Print one study."""
    directions = "/".join(study.directions)
    click.secho(f"study {shown(study.name)!r}", bold=True, nl=False)
    click.echo(f": {study.backend}, {directions}, seed {study.seed}, {_progress(study)}\n")
    best = best_trials(study)
    for line, trial in table_lines(study, shutil.get_terminal_size((100, 24)).columns):
        if trial is None:
            click.secho(line, bold=True)
        elif trial in best:
            click.secho(line, fg="green")
        else:
            click.secho(line, fg=_COLOURS.get(trial.state))
    if len(study.directions) > 1:
        _print_front(best)
    elif best:
        _print_best(best[0])
    kinds = failure_kinds(study)
    if kinds:
        click.secho("\nfailed", bold=True, nl=False)
        click.echo(" (--json and the report have the tracebacks)")
    for trials in kinds:
        click.echo(f"  {_numbers(trials)}: {shown(str(trials[0].error).partition(chr(10))[0])}")


def print_studies(studies: Sequence[Study], *, as_json: bool) -> None:
    """Print a list of studies, for the user to name one."""
    if as_json:
        rows = [
            {
                "name": study.name,
                "backend": study.backend,
                "directions": list(study.directions),
                "counts": study.counts(),
                "best": [list(trial.objectives or ()) for trial in best_trials(study)],
            }
            for study in studies
        ]
        click.echo(json.dumps({"studies": rows}, allow_nan=False))
        return
    if not studies:
        click.echo("the journal has no study yet")
        return
    cells = [
        [shown(study.name), study.backend, "/".join(study.directions), _progress(study)]
        for study in studies
    ]
    header = ["study", "backend", "direction", "trials"]
    for line in columns(header, cells, left=header):
        click.echo(line)
    click.echo("\nName one with --study NAME.")


def _progress(study: Study) -> str:
    total = "" if study.n_trials is None else f" of {study.n_trials}"
    states = ", ".join(f"{count} {state}" for state, count in study.counts().items() if count)
    return f"{len(study.trials)}{total} trials" + (f": {states}" if states else "")


def _print_best(trial: TrialRecord) -> None:
    click.secho(f"\nbest: trial {trial.number}, objective {shown(trial.objective, 6)}", bold=True)
    for name, value in trial.items():
        click.echo(f"  {shown(name)} = {shown(value, 6)}")
    if trial.attrs.get("checkpoint"):
        click.echo(f"  saved in {trial.attrs['checkpoint']}")


def _print_front(front: Sequence[TrialRecord]) -> None:
    click.secho(f"\nPareto front: {len(front)} trials", bold=True)
    for trial in front:
        values = ", ".join(shown(value, 6) for value in trial.objectives or ())
        click.echo(f"  trial {trial.number}: {values}")


def _numbers(trials: Sequence[TrialRecord]) -> str:
    listed = ", ".join(str(trial.number) for trial in trials[:10])
    more = f" and {len(trials) - 10} more" if len(trials) > 10 else ""
    return f"trial{'s' if len(trials) > 1 else ''} {listed}{more}"
