"""The report's page: which sections a study gets, and what stands in each.

Everything that comes from a study passes `_text` (or `escaped` in a figure), or goes as JSON to the
script that lists the trials, which writes it as text.
"""

from __future__ import annotations

import html
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

import plotly
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

import hpsearch
from hpsearch.plugins import registry
from hpsearch.report import figures
from hpsearch.report.axes import searched
from hpsearch.report.effects import ETA_SQUARED, RHO
from hpsearch.report.export import failure_kinds, objective_names
from hpsearch.report.text import duration, shown, shown_lines
from hpsearch.study.best import ranked
from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord

if TYPE_CHECKING:
    from hpsearch.study.study import Study

MOST_CELLS = 600_000
"""How many values of parameters the table lists: of more trials the best."""

FEW_CELLS = 50_000
"""Above this, the table has the six digits of a number that the page shows, and no more."""

MOST_FAILURES = 50
"""How many kinds of failure are shown with a traceback."""


def render(study: Study) -> str:
    """Return the page."""
    asset = files("hpsearch.report").joinpath
    return Template(asset("page.html").read_text(encoding="utf-8")).substitute(
        version=hpsearch.__version__,
        title=_text(study.name),
        css=asset("page.css").read_text(encoding="utf-8"),
        js=asset("page.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        head=_head(study),
        sections="\n".join(_sections(study)),
        trials=_embedded(_trials(study)),
        made=f"hpsearch {hpsearch.__version__}, plotly {plotly.__version__}",
    )


def _sections(study: Study) -> Iterator[str]:
    if not study.trials:
        yield _section("Trials", "<p class='quiet'>No trial has started yet.</p>")
    yield from _best(study)
    yield from _figures(study)
    if study.trials:
        listed, count = len(_listed(study)), len(study.trials)
        note = "" if listed == count else f"The best {listed:,} of {count:,}."
        yield _section("Trials", "<div id='trials'></div>", note)
    yield from _failures(study)
    yield _section("Facts", _pairs(_study_facts(study)))


# What stands at the top.


def _head(study: Study) -> str:
    counts = study.counts()
    states = "".join(
        f"<span class='{state}'>{count} {state}</span>" for state, count in counts.items() if count
    )
    best = study.best_trials()
    cards = []
    if len(study.directions) > 1:
        cards.append(("Pareto front", f"{len(best)}", "trials that no other beats"))
    elif best:
        value = shown(best[0].objective, digits=5)
        note = f"trial {best[0].number}, {study.directions[0]}"
        cards.append(("Best objective", _text(value), _text(note)))
    elif counts["complete"]:
        cards.append(("Best objective", "none", "no complete trial keeps its constraints"))
    asked = "" if study.n_trials is None else f" of {study.n_trials}"
    cards.append(("Trials", f"{len(study.trials)}<small>{_text(asked)}</small>", states))
    if ends := [trial.ended for trial in study.trials if trial.ended is not None]:
        span = max(ends) - min(trial.started for trial in study.trials)
        cards.append(("Time", duration(span), "from the first start to the last end"))
    cards.append(("Backend", _text(study.backend), _text(f"seed {study.seed}")))
    return "".join(
        f"<div class='card'><h2>{title}</h2><strong>{value}</strong><p>{note}</p></div>"
        for title, value, note in cards
    )


# Sections.


def _best(study: Study) -> Iterator[str]:
    best = study.best_trials()
    if len(study.directions) == 1 and best:
        trial = best[0]
        facts: dict[str, Any] = {"objective": trial.objective, "trial": trial.number}
        if trial.duration is not None:
            facts["duration"] = duration(trial.duration)
        facts |= _scalars(trial.attrs)
        facts |= _scalars(_mapping(trial, "metrics"))
        body = f"<div class='two'>{_pairs(dict(trial))}{_pairs(facts)}</div>"
        yield _section("Best run", body)


def _figures(study: Study) -> Iterator[str]:
    complete = figures.completed(study)
    indices = range(len(study.directions))
    names = objective_names(study)
    parameters = searched(study)
    if len(indices) > 1 and complete:
        note = "A trial is on the front if no other is at least as good in all and better in one."
        most = figures.MOST_POINTS // math.comb(len(indices), 2)
        if len(complete) > most:
            note += f" At most {most:,} trials of the front are drawn, and as many others."
        yield _section("Pareto front", _figure(figures.fronts(study), "front"), note)
    if complete or any(trial.state is TrialState.PRUNED for trial in study.trials):
        drawn = "".join(_figure(figures.history(study, i), f"history-{i}") for i in indices)
        most = figures.MOST_POINTS // len(indices)
        note = _part(len(complete), most, "complete trials", "the best and others evenly")
        yield _section("Optimisation history", drawn, note)
    if complete and parameters:
        of_parameters = _part(
            len(parameters), figures.MOST_AXES, "parameters", "those with the strongest effects"
        )
        each = min(len(parameters), figures.MOST_AXES) * len(indices)
        of_trials = _part(
            len(complete), figures.MOST_MARKS // each, "trials", "the best and others evenly"
        )
        for index in indices:
            title = "Slices" if len(indices) == 1 else f"Slices of {names[index]}"
            drawn = _figure(figures.slices(study, index), f"slices-{index}")
            note = f"{_SLICES}{of_parameters}{of_trials}" if len(complete) > 1 else ""
            yield _section(title, drawn, note)
    if len(complete) > 1 and parameters:
        lines = _part(len(complete), figures.MOST_LINES, "trials", "from best to worst")
        note = f"{_PARALLEL}{of_parameters}{lines}"
        yield _section("Parallel coordinates", _figure(figures.parallel(study), "lines"), note)
    reporting = figures.reporting(study)
    if reporting:
        drawn = "".join(_figure(figures.curves(study, i), f"curves-{i}") for i in indices)
        note = ""
        if len(reporting) > figures.MOST_CURVES:
            note = f"The best and the latest {figures.MOST_CURVES} of {len(reporting)} trials."
        yield _section("Intermediate results", drawn, note)


def _part(count: int, most: int, what: str, which: str) -> str:
    """Say that a figure draws only a part, and which; nothing where it draws all."""
    return "" if count <= most else f" Of {count:,} {what}, at most {most:,} are drawn: {which}."


_SLICES = (
    f"Each complete trial by one parameter. {RHO} is Spearman's rank correlation with the "
    f"objective, {ETA_SQUARED} the share of the variance of its ranks that lies between "
    "categories: they describe these trials, one parameter at a time, and prove no importance."
)
_PARALLEL = (
    "Each line is a complete trial; darker is better. Drag along an axis to keep some trials, "
    "click to keep all again, drag a name to move its axis."
)


def _failures(study: Study) -> Iterator[str]:
    kinds = failure_kinds(study)
    if not kinds:
        return
    parts = []
    for trials in kinds[:MOST_FAILURES]:
        first, error = trials[0], trials[0].error
        assert error is not None
        which = _text(f"Trial {first.number}")
        if len(trials) > 1:
            which += f" and {len(trials) - 1} more"
        line = _text(str(error).partition("\n")[0])
        parts.append(
            f"<details><summary><b>{which}</b> {line}</summary>{_pairs(dict(first))}"
            f"<pre>{html.escape(shown_lines(error.traceback or str(error)))}</pre></details>"
        )
    note = ""
    if len(kinds) > MOST_FAILURES:
        note = f"The first {MOST_FAILURES} of {len(kinds)} kinds of failure."
    yield _section("Failures", "".join(parts), note)


def _study_facts(study: Study) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "study": study.name,
        "directions": ", ".join(study.directions),
        "backend": study.backend,
        "seed": study.seed,
        "trials asked for": "no limit" if study.n_trials is None else study.n_trials,
    }
    if study.timeout is not None:
        facts["timeout"] = duration(study.timeout)
    if study.trials:
        facts["started"] = _when(min(trial.started for trial in study.trials))
    ends = [trial.ended for trial in study.trials if trial.ended is not None]
    if ends:
        facts["ended"] = _when(max(ends))
    if study.space is not None:
        for name, distribution in study.space.parameters.items():
            facts[f"space: {name}"] = distribution
    # A Trainer search notes with each trial where it ran.
    environments = (_mapping(trial, "environment") for trial in study.trials)
    for name, value in next(filter(None, environments), {}).items():
        facts[f"ran with: {name}"] = value
    facts["report made"] = _when(datetime.now(UTC).timestamp())
    facts["report made with"] = ", ".join(
        [
            f"Python {platform.python_version()}",
            f"hpsearch {hpsearch.__version__}",
            *(
                f"{plugin.distribution} {plugin.version}"
                for plugin in registry.installed()
                if plugin.name == study.backend and plugin.distribution != "hpsearch"
            ),
        ]
    )
    return facts


def _columns(study: Study) -> list[str]:
    """Return the names of what the objective gets, in the order in which trials have them."""
    return list(dict.fromkeys(name for trial in study.trials for name in trial))


def _listed(study: Study) -> Sequence[TrialRecord]:
    """Return the trials of the table: all, or the best of more than a page can hold."""
    most = MOST_CELLS // (len(_columns(study)) or 1)
    if len(study.trials) <= most:
        return study.trials
    best = ranked(study.trials, study.directions)[:most]
    return sorted(best, key=lambda trial: trial.number)


def _trials(study: Study) -> dict[str, Any]:
    """Return the table of trials for the script: columns, rows and the best trials' numbers."""
    names = _columns(study)
    trials = _listed(study)
    exact = len(trials) * len(names) <= FEW_CELLS

    def cell(value: Any) -> Any:
        if type(value) is float and math.isfinite(value):
            return value if exact else float(f"{value:.6g}")
        return value if type(value) is int else shown(value)

    def objectives(trial: TrialRecord) -> list[Any]:
        return list(map(cell, trial.objectives or ())) or [None] * len(study.directions)

    return {
        "columns": ["trial", "state", *objective_names(study), *map(shown, names), "seconds"],
        "rows": [
            [
                cell(trial.number),
                str(trial.state),
                *objectives(trial),
                *(cell(trial[name]) if name in trial else None for name in names),
                None if trial.duration is None else round(trial.duration, 3),
            ]
            for trial in trials
        ],
        "best": [trial.number for trial in study.best_trials()],
    }


# HTML.


def _text(value: object, digits: int = 4) -> str:
    """Return a value in print, escaped."""
    return html.escape(shown(value, digits))


def _section(title: str, body: str, note: str = "") -> str:
    note = f"<p class='note'>{note}</p>" if note else ""
    return f"<section><h2>{html.escape(title)}</h2>{note}{body}</section>"


def _pairs(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(value, 6)}</dd>" for name, value in facts.items()
    )
    return f"<dl>{rows}</dl>"


def _figure(figure: go.Figure, name: str) -> str:
    # These buttons and no others: one of plotly's own would send the figure to a server.
    buttons = [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]]
    config = {
        "displaylogo": False,
        "responsive": True,
        "displayModeBar": False if name == "lines" else "hover",
        "modeBarButtons": buttons,
        "toImageButtonOptions": {"filename": name, "scale": 2},
    }
    markup: str = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=name, config=config
    )
    return f"<div class='figure'>{markup}</div>"


def _mapping(trial: TrialRecord, name: str) -> Mapping[str, Any]:
    fact = trial.attrs.get(name)
    return fact if isinstance(fact, Mapping) else {}


def _scalars(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in facts.items()
        if value is None or isinstance(value, bool | int | float | str)
    }


def _embedded(data: Any) -> str:
    """Return JSON that no HTML can be read out of."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
