"""The report's page: which sections a study gets, and what stands in each.

Everything that comes from a user passes `html.escape`, or goes as JSON to the script that lists
the trials, which writes it as text.
"""

from __future__ import annotations

import html
import json
import math
import platform
from collections.abc import Iterator, Mapping
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
from hpsearch.report.export import best_trials, failure_kinds, objective_names
from hpsearch.report.text import shown
from hpsearch.study.trial import Trial, TrialState

if TYPE_CHECKING:
    from hpsearch.study.study import Study

MOST_FAILURES = 50
"""How many kinds of failure are shown with a traceback."""


def render(study: Study) -> str:
    """Return the page."""
    asset = files("hpsearch.report").joinpath
    return Template(asset("page.html").read_text(encoding="utf-8")).substitute(
        version=hpsearch.__version__,
        title=html.escape(shown(study.name)),
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
        yield _section("Trials", "<div id='trials'></div>")
    yield from _failures(study)
    yield _section("Facts", _pairs(_study_facts(study)))


# What stands at the top.


def _head(study: Study) -> str:
    counts = study.counts()
    states = "".join(
        f"<span class='{state}'>{count} {state}</span>" for state, count in counts.items() if count
    )
    best = best_trials(study)
    cards = []
    if len(study.directions) > 1:
        cards.append(("Pareto front", f"{len(best)}", "trials that no other beats"))
    elif best:
        value = shown(best[0].objective, digits=5)
        cards.append(("Best objective", value, f"trial {best[0].number}, {study.directions[0]}"))
    asked = "" if study.n_trials is None else f" of {study.n_trials}"
    cards.append(("Trials", f"{len(study.trials)}<small>{asked}</small>", states))
    if ends := [trial.ended for trial in study.trials if trial.ended is not None]:
        span = max(ends) - min(trial.started for trial in study.trials)
        cards.append(("Time", _duration(span), "from the first start to the last end"))
    cards.append(("Backend", html.escape(study.backend), f"seed {study.seed}"))
    return "".join(
        f"<div class='card'><h2>{title}</h2><strong>{value}</strong><p>{note}</p></div>"
        for title, value, note in cards
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


# Sections.


def _best(study: Study) -> Iterator[str]:
    best = best_trials(study)
    if len(study.directions) == 1 and best:
        trial = best[0]
        facts: dict[str, Any] = {"objective": trial.objective, "trial": trial.number}
        if trial.duration is not None:
            facts["duration"] = _duration(trial.duration)
        facts |= _scalars(trial.attrs)
        facts |= _scalars(_mapping(trial, "metrics"))
        body = f"<div class='two'>{_pairs(dict(trial))}{_pairs(facts)}</div>"
        yield _section("Best run", body)


def _figures(study: Study) -> Iterator[str]:
    complete = figures.completed(study)
    indices = range(len(study.directions))
    names = objective_names(study)
    if len(indices) > 1 and complete:
        note = "A trial is on the front if no other is at least as good in all and better in one."
        yield _section("Pareto front", _figure(figures.fronts(study), "front"), note)
    if complete or any(trial.state is TrialState.PRUNED for trial in study.trials):
        drawn = "".join(_figure(figures.history(study, i), f"history-{i}") for i in indices)
        yield _section("Optimisation history", drawn)
    if complete and searched(study):
        for index in indices:
            title = "Slices" if len(indices) == 1 else f"Slices of {names[index]}"
            drawn = _figure(figures.slices(study, index), f"slices-{index}")
            yield _section(title, drawn, _SLICES if len(complete) > 1 else "")
    if len(complete) > 1 and searched(study):
        note = _PARALLEL
        if len(complete) > figures.MOST_LINES:
            note += f" Of {len(complete)} trials, some {figures.MOST_LINES} from best to worst."
        yield _section("Parallel coordinates", _figure(figures.parallel(study), "lines"), note)
    reporting = figures.reporting(study)
    if reporting:
        drawn = "".join(_figure(figures.curves(study, i), f"curves-{i}") for i in indices)
        note = ""
        if len(reporting) > figures.MOST_CURVES:
            note = f"The best and the latest {figures.MOST_CURVES} of {len(reporting)} trials."
        yield _section("Intermediate results", drawn, note)


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
        which = f"Trial {first.number}"
        if len(trials) > 1:
            which += f" and {len(trials) - 1} more"
        line = html.escape(shown(str(error).partition("\n")[0]))
        parts.append(
            f"<details><summary><b>{which}</b> {line}</summary>{_pairs(dict(first))}"
            f"<pre>{html.escape(error.traceback or str(error))}</pre></details>"
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
        facts["timeout"] = _duration(study.timeout)
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


def _trials(study: Study) -> dict[str, Any]:
    """Return the table of trials for the script: columns, rows and the best trials' numbers."""
    names = list(dict.fromkeys(name for trial in study.trials for name in trial))
    return {
        "columns": ["trial", "state", *objective_names(study), *names, "seconds"],
        "rows": [
            [
                trial.number,
                str(trial.state),
                *(trial.objectives or [None] * len(study.directions)),
                *(_plain(trial[name]) if name in trial else None for name in names),
                None if trial.duration is None else round(trial.duration, 3),
            ]
            for trial in study.trials
        ],
        "best": [trial.number for trial in best_trials(study)],
    }


# HTML.


def _section(title: str, body: str, note: str = "") -> str:
    note = f"<p class='note'>{note}</p>" if note else ""
    return f"<section><h2>{html.escape(title)}</h2>{note}{body}</section>"


def _pairs(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<dt>{html.escape(shown(name))}</dt><dd>{html.escape(shown(value, 6))}</dd>"
        for name, value in facts.items()
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


def _mapping(trial: Trial, name: str) -> Mapping[str, Any]:
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


def _plain(value: Any) -> Any:
    return value if type(value) in (int, float) and math.isfinite(value) else shown(value)


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
