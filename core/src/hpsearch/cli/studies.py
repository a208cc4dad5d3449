"""Studies in a terminal: the trials, the best of them, and why others failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hpsearch.cli.terminal import say
from hpsearch.report.export import failure_kinds, table_lines
from hpsearch.report.text import columns, shown
from hpsearch.study.best import ranked

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study

MOST = 20
"""How many trials of a large study are shown, and kinds of failures, unless all are asked for."""

_COLOURS = {"pruned": "yellow", "failed": "red", "running": "cyan"}


def print_study(study: Study, *, everything: bool = False) -> None:
    """Print one study: all of a small one, and the best of a large one unless asked for all."""
    say(f"study {study.name!r}", bold=True, nl=False)
    facts = [study.backend, "/".join(study.directions), f"seed {study.seed}", _progress(study)]
    say(f": {', '.join(facts)}\n")
    most = len(study.trials) if everything else MOST
    best = study.best_trials()
    _print_table(study, best, most)
    if len(study.directions) > 1:
        _print_front(best, most)
    elif best:
        _print_best(best[0])
    if not best and study.counts()["complete"]:
        say("\nno best run: no complete trial keeps its constraints", bold=True)
    _print_failures(study, most)


def print_studies(studies: Sequence[Study], *, as_json: bool) -> None:
    """Print a list of studies, for the user to name one."""
    if as_json:
        rows = [
            {
                "name": study.name,
                "backend": study.backend,
                "directions": list(study.directions),
                "counts": study.counts(),
                "best": [list(trial.objectives or ()) for trial in study.best_trials()],
            }
            for study in studies
        ]
        click.echo(json.dumps({"studies": rows}, allow_nan=False))
        return
    if not studies:
        say("the journal has no study yet")
        return
    cells = [
        [study.name, study.backend, "/".join(study.directions), _progress(study)]
        for study in studies
    ]
    header = ["study", "backend", "direction", "trials"]
    for line in columns(header, cells, left=header):
        say(line)
    say("\nName one with --study NAME.")


def _progress(study: Study) -> str:
    total = "" if study.n_trials is None else f" of {study.n_trials}"
    states = ", ".join(f"{count} {state}" for state, count in study.counts().items() if count)
    return f"{len(study.trials)}{total} trials" + (f": {states}" if states else "")


def _print_table(study: Study, best: Sequence[TrialRecord], most: int) -> None:
    trials = study.trials
    if len(trials) > most:
        trials = ranked(trials, study.directions)[:most]
    starred = set(best)
    for line, trial in table_lines(study, trials, starred):
        if trial is None:
            say(line, bold=True)
        elif trial in starred:
            say(line, fg="green")
        else:
            say(line, fg=_COLOURS.get(trial.state))
    if len(trials) < len(study.trials):
        total = f"of {len(study.trials):,} trials"
        some = f"the best {len(trials):,} {total}" if trials else f"none {total} can be ranked"
        say(f"\n{some}; --all shows all")


def _print_best(trial: TrialRecord) -> None:
    say(f"\nbest: trial {trial.number}, objective {shown(trial.objective, 6)}", bold=True)
    for name, value in trial.items():
        say(f"  {shown(name)} = {shown(value, 6)}")
    if trial.attrs.get("checkpoint"):
        say(f"  saved in {trial.attrs['checkpoint']}")


def _print_front(front: Sequence[TrialRecord], most: int) -> None:
    say(f"\nPareto front: {len(front):,} trials", bold=True)
    for trial in front if len(front) <= most else ():  # a larger one is what the table begins with
        values = ", ".join(shown(value, 6) for value in trial.objectives or ())
        say(f"  trial {trial.number}: {values}")


def _print_failures(study: Study, most: int) -> None:
    kinds = failure_kinds(study)
    if not kinds:
        return
    say("\nfailed", bold=True, nl=False)
    say(" (--json and the report have the tracebacks)")
    for trials in kinds[:most]:
        say(f"  {_numbers(trials)}: {shown(str(trials[0].error).partition(chr(10))[0])}")
    _print_rest(len(kinds) - most)


def _print_rest(count: int) -> None:
    if count > 0:
        say(f"  and {count:,} more; --all shows all")


def _numbers(trials: Sequence[TrialRecord]) -> str:
    listed = ", ".join(str(trial.number) for trial in trials[:10])
    more = f" and {len(trials) - 10} more" if len(trials) > 10 else ""
    return f"trial{'s' if len(trials) > 1 else ''} {listed}{more}"
