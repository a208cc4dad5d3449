"""The figures of a report, each made from a study alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hpsearch.report.axes import MISSING, Axis, axis_of, log_worthwhile, searched
from hpsearch.report.effects import ETA_SQUARED, RHO, rank_correlation, share_explained
from hpsearch.report.export import objective_names
from hpsearch.report.style import (
    AMBER,
    BLUE,
    GREEN,
    MANY_POINTS,
    MUTED,
    RED,
    SCALE,
    escaped,
    points,
    styled,
)
from hpsearch.report.text import shown
from hpsearch.study.best import costs_of, ranked
from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord

if TYPE_CHECKING:
    from hpsearch.study.study import Study

MOST_POINTS = 10_000
"""How many trials of a kind the history draws: of more the best, and others evenly."""

MOST_MARKS = 50_000
"""How many points the slices draw in all, which share them."""

MOST_AXES = 30
"""How many parameters are drawn: of more those that the objective goes with most strongly."""

MOST_VALUES = 20
"""How many parameters of a trial are named where the mouse points at it."""

MOST_STEPS = 200
"""How many intermediate results of a trial are drawn."""

MOST_CURVES = 400
"""How many trials' intermediate results are drawn: the best, then the latest of the others."""

MOST_LINES = 500
"""How many trials parallel coordinates draw: the best, and others evenly down to the worst."""

_Item = TypeVar("_Item")
_COLORBAR = {"thickness": 12, "outlinewidth": 0}


def history(study: Study, index: int = 0) -> go.Figure:
    """Each trial's objective value by its number, and the best so far."""
    complete = completed(study)
    pruned = _in_state(study, TrialState.PRUNED)
    reported = [trial for trial in pruned if _last_report(trial, index) is not None]
    silent = [trial for trial in pruned if _last_report(trial, index) is None]
    figure = styled(go.Figure(), height=400 if len(study.directions) == 1 else 320)
    size, opacity = (8, 0.75) if len(study.trials) <= MANY_POINTS else (4, 0.4)
    most = MOST_POINTS // len(study.directions)

    def mark(
        trials: Sequence[TrialRecord], value: Callable[[TrialRecord], Any], name: str, **how: Any
    ) -> None:
        if trials:
            trials = some(study, trials, most, index)
            trace = points(len(study.trials))(
                x=[trial.number for trial in trials],
                y=[value(trial) for trial in trials],
                mode="markers",
                name=name,
                hovertext=[_story(study, trial) for trial in trials],
                hoverinfo="text",
                **how,
            )
            figure.add_trace(trace)

    hollow = {"color": AMBER, "size": size, "symbol": "diamond-open", "line": {"width": 2}}
    cross = {"color": RED, "size": size, "symbol": "x"}
    solid = {"color": BLUE, "size": size, "opacity": opacity}
    ring = {"color": BLUE, "size": size, "symbol": "circle-open", "opacity": opacity}
    feasible = [trial for trial in complete if trial.feasible]
    mark(feasible, lambda trial: _objective(trial, index), "complete", marker=solid)
    mark(
        _without(complete, feasible),
        lambda trial: _objective(trial, index),
        "complete, breaks a constraint",
        marker=ring,
    )
    mark(reported, lambda trial: _last_report(trial, index), "pruned, last report", marker=hollow)
    # What has no value stands at the bottom, on an axis of its own.
    mark(silent, lambda _: 0.02, "pruned", marker=hollow, yaxis="y2")
    mark(_in_state(study, TrialState.FAILED), lambda _: 0.02, "failed", marker=cross, yaxis="y2")
    if feasible:
        figure.add_trace(_best_so_far(study, feasible, index))
    values = [_objective(trial, index) for trial in complete]
    figure.update_yaxes(title=_objective_title(study, index), type=_scale(values))
    last = study.trials[-1].number
    figure.update_xaxes(title="trial", range=_from_zero(last), zeroline=False)
    if last <= 20:
        figure.update_xaxes(dtick=1)
    figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False})
    return figure


def slices(study: Study, index: int = 0) -> go.Figure:
    """The objective against each parameter, or each of the strongest, in a small figure each."""
    complete = completed(study)
    drawn = strongest(study, index)
    across = 2 if len(drawn) in (2, 4) else min(3, len(drawn))
    down = math.ceil(len(drawn) / across)
    figure = make_subplots(
        rows=down,
        cols=across,
        subplot_titles=[_slice_title(axis, complete, index) for axis in drawn],
        shared_yaxes="all",
        horizontal_spacing=0.04,
        vertical_spacing=0.36 / down if down > 1 else 0,
    )
    styled(figure, height=290 * down + 80).update_layout(margin={"t": 64})
    chosen = some(study, complete, MOST_MARKS // (len(drawn) * len(study.directions)), index)
    draw = points(len(chosen) * len(drawn))
    for place, axis in enumerate(drawn):
        where = {"row": place // across + 1, "col": place % across + 1}
        trials = [trial for trial in chosen if axis.name in trial.params]
        trace = draw(
            x=[axis.place(trial.params[axis.name], trial.number) for trial in trials],
            y=[_objective(trial, index) for trial in trials],
            mode="markers",
            showlegend=False,
            marker={
                "color": [trial.number for trial in trials],
                "size": 8 if len(chosen) <= MANY_POINTS else 4,
                "line": {"width": 0.5, "color": "white"},
                "coloraxis": "coloraxis",
            },
            hovertext=[_point(axis, trial, index) for trial in trials],
            hoverinfo="text",
        )
        figure.add_trace(trace, **where)
        figure.update_xaxes(**axis.ticks(), **where)
        if where["col"] == 1:
            figure.update_yaxes(title=_objective_title(study, index), **where)
    figure.update_yaxes(type=_scale([_objective(trial, index) for trial in complete]))
    figure.update_annotations(font={"size": 13})
    colorbar = {"title": {"text": "trial"}, **_COLORBAR}
    figure.update_layout(coloraxis={"colorscale": SCALE, "colorbar": colorbar})
    return figure


def parallel(study: Study) -> go.Figure:
    """Complete trials as lines across their parameters to their objectives, the best on top."""
    best_first = ranked(completed(study), study.directions)
    best_first += _without(completed(study), best_first)  # those that break their constraints
    complete = _evenly(best_first, MOST_LINES)[::-1]
    dimensions = []
    for axis in strongest(study):
        values = [trial.params.get(axis.name, MISSING) for trial in complete]
        dimensions.append({"label": escaped(axis.name, 28), **axis.dimension(values)})
    for index, name in enumerate(objective_names(study)):
        values = [_objective(trial, index) for trial in complete]
        dimensions.append({"label": escaped(name, 28), "values": values})
    figure = styled(go.Figure(), height=440)
    figure.add_trace(
        go.Parcoords(
            dimensions=dimensions,
            labelangle=-12,
            labelfont={"size": 13},
            tickfont={"size": 11, "color": MUTED},
            rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
            line={"color": list(range(len(complete))), "colorscale": SCALE},
        )
    )
    if len(dimensions) > 10:
        figure.update_layout(width=110 * len(dimensions))
    figure.update_layout(margin={"t": 100, "l": 90, "r": 40, "b": 24})
    return figure


def curves(study: Study, index: int = 0) -> go.Figure:
    """The intermediate results of each trial over its steps."""
    best = {trial.number for trial in study.best_trials()}
    trials = reporting(study)[:MOST_CURVES]
    draw = points(sum(len(trial.intermediate) for trial in trials))
    figure = styled(go.Figure(), height=420)
    for name, color, width, opacity, chosen in (
        ("complete", BLUE, 1.3, 0.5, _in(trials, TrialState.COMPLETE)),
        ("pruned", AMBER, 1.5, 0.75, _in(trials, TrialState.PRUNED)),
        ("failed", RED, 1.5, 0.8, _in(trials, TrialState.FAILED)),
        ("running", MUTED, 1.5, 0.8, _in(trials, TrialState.RUNNING)),
        ("best", GREEN, 3.0, 1.0, [trial for trial in trials if trial.number in best]),
    ):
        if chosen:
            x, y, text = _joined(chosen, index, MOST_STEPS // len(study.directions))
            trace = draw(
                x=x,
                y=y,
                mode="lines+markers",
                name=name,
                opacity=opacity,
                line={"color": color, "width": width},
                marker={"size": 6 if name == "best" else 4},
                hovertext=text,
                hoverinfo="text",
            )
            figure.add_trace(trace)
    reports = [values[index] for trial in trials for values in trial.intermediate.values()]
    title = f"reported {_objective_title(study, index)}"
    figure.update_yaxes(title=title, type=_scale([v for v in reports if math.isfinite(v)]))
    last = max(step for trial in trials for step in trial.intermediate)
    figure.update_xaxes(title="step", range=_from_zero(last), zeroline=False)
    return figure


def fronts(study: Study) -> go.Figure:
    """The objectives against each other, two at a time, with the Pareto front."""
    pairs = list(itertools.combinations(range(len(study.directions)), 2))
    across = min(3, len(pairs))
    down = math.ceil(len(pairs) / across)
    figure = make_subplots(rows=down, cols=across, horizontal_spacing=0.09, vertical_spacing=0.14)
    styled(figure, height=440 if across == 1 else 340 * down + 40)
    best = study.best_trials()
    most = MOST_POINTS // len(pairs)
    front = _evenly(sorted(best, key=lambda trial: _objective(trial, 0)), most)
    others = _evenly(_without(completed(study), best), most)
    line = "lines+markers" if len(pairs) == 1 else "markers"
    for place, (first, second) in enumerate(pairs):
        where = {"row": place // across + 1, "col": place % across + 1}
        for trials, name, mode, marker in (
            (others, "complete", "markers", {"color": BLUE, "size": 7, "opacity": 0.45}),
            (front, "Pareto front", line, {"color": GREEN, "size": 10}),
        ):
            trace = points(len(trials))(
                x=[_objective(trial, first) for trial in trials],
                y=[_objective(trial, second) for trial in trials],
                mode=mode,
                name=name,
                showlegend=place == 0,
                legendgroup=name,
                marker=marker,
                line={"color": GREEN, "width": 1.5, "dash": "dot"},
                hovertext=[_story(study, trial) for trial in trials],
                hoverinfo="text",
            )
            figure.add_trace(trace, **where)
        figure.update_xaxes(title=_objective_title(study, first), **where)
        figure.update_yaxes(title=_objective_title(study, second), **where)
    return figure


def completed(study: Study) -> list[TrialRecord]:
    """Return the complete trials by number."""
    return _in_state(study, TrialState.COMPLETE)


def some(
    study: Study, trials: Sequence[TrialRecord], most: int, index: int
) -> Sequence[TrialRecord]:
    """Return at most so many of the trials: half of them the best, the others evenly."""
    if len(trials) <= most:
        return trials
    costs = {trial: costs_of(trial, study.directions) for trial in trials}
    values = {trial: cost[index] for trial, cost in costs.items() if cost is not None}
    kept = set(sorted(values, key=values.__getitem__)[: most // 2])
    kept.update(_evenly(_without(trials, kept), most - len(kept)))
    return [trial for trial in trials if trial in kept]


def strongest(study: Study, index: int = 0) -> list[Axis]:
    """Return the axes of the searched parameters; of many those with the strongest effects."""
    axes = [axis_of(study, name) for name in searched(study)]
    if len(axes) <= MOST_AXES:
        return axes
    complete = completed(study)
    strength = [_effect(axis, complete, index) or 0.0 for axis in axes]
    # A correlation's square is a share of the variance too.
    shares = [
        effect if axis.scale == "category" else effect**2
        for axis, effect in zip(axes, strength, strict=True)
    ]
    order = sorted(range(len(axes)), key=lambda place: -shares[place])[:MOST_AXES]
    return [axes[place] for place in order]


def reporting(study: Study) -> list[TrialRecord]:
    """Return the trials that reported several steps: the best, then the latest first."""
    best = {trial.number for trial in study.best_trials()}
    trials = [trial for trial in study.trials if len(trial.intermediate) > 1]
    return sorted(trials, key=lambda trial: (trial.number not in best, -trial.number))


def _in_state(study: Study, state: TrialState) -> list[TrialRecord]:
    return _in(study.trials, state)


def _in(trials: Sequence[TrialRecord], state: TrialState) -> list[TrialRecord]:
    return [trial for trial in trials if trial.state is state]


def _objective(trial: TrialRecord, index: int) -> float:
    assert trial.objectives is not None
    return trial.objectives[index]


def _without(trials: Sequence[TrialRecord], others: Collection[TrialRecord]) -> list[TrialRecord]:
    left_out = set(others)
    return [trial for trial in trials if trial not in left_out]


def _last_report(trial: TrialRecord, index: int) -> float | None:
    values = [values[index] for values in trial.intermediate.values()]
    return next((value for value in reversed(values) if math.isfinite(value)), None)


def _objective_title(study: Study, index: int) -> str:
    return escaped(f"{objective_names(study)[index]} ({study.directions[index]})", 60)


def _from_zero(last: int) -> list[float]:
    """Return a range in which marks at 0 and at ``last`` are whole."""
    edge = max(0.5, 0.015 * last)
    return [-edge, last + edge]


def _scale(values: Sequence[float]) -> str:
    return "log" if log_worthwhile(values) else "linear"


def _evenly(items: Sequence[_Item], most: int) -> Sequence[_Item]:
    """Return at most so many of the items, the first among them."""
    return items[:: math.ceil(len(items) / most)] if items else items


def _best_so_far(study: Study, complete: Sequence[TrialRecord], index: int) -> go.Scatter:
    better = min if study.directions[index] == "minimize" else max
    best = itertools.accumulate((_objective(trial, index) for trial in complete), better)
    # Where it stays as it was, the line goes on by itself.
    pairs = zip(best, complete, strict=True)
    steps = [next(group) for _, group in itertools.groupby(pairs, key=lambda pair: pair[0])]
    return go.Scatter(
        x=[*(trial.number for _, trial in steps), study.trials[-1].number],
        y=[*(value for value, _ in steps), steps[-1][0]],
        mode="lines",
        name="best so far",
        line={"color": GREEN, "width": 2.5, "shape": "hv"},
        hoverinfo="skip",
    )


def _story(study: Study, trial: TrialRecord) -> str:
    lines = [f"{_named(trial)} {trial.state}"]
    names = objective_names(study)
    values = zip(names, trial.objectives or (), strict=False)
    lines += [f"{escaped(name, 40)} {_number(value)}" for name, value in values]
    if trial.intermediate and trial.objectives is None:
        step, reported = list(trial.intermediate.items())[-1]
        lines.append(f"step {escaped(step, 40)}: {', '.join(map(_number, reported))}")
    if trial.error is not None:
        lines.append(escaped(str(trial.error).partition("\n")[0], 80))
    named = itertools.islice(trial.items(), MOST_VALUES)
    lines += [f"{escaped(name, 40)} = {escaped(value, 40)}" for name, value in named]
    if len(trial) > MOST_VALUES:
        lines.append(f"and {len(trial) - MOST_VALUES} more")
    return "<br>".join(lines)


def _named(trial: TrialRecord) -> str:
    return f"<b>trial {escaped(trial.number, 40)}</b>"


def _number(value: object) -> str:
    return escaped(shown(value, 6), 40)


def _point(axis: Axis, trial: TrialRecord, index: int) -> str:
    value = escaped(trial.params[axis.name], 40)
    return (
        f"{_named(trial)}<br>{escaped(axis.name, 40)} = {value}"
        f"<br>objective {_number(_objective(trial, index))}"
    )


def _slice_title(axis: Axis, complete: Sequence[TrialRecord], index: int) -> str:
    """Name the parameter, and say how strongly the objective goes with it."""
    name = f"<b>{escaped(axis.name, 34)}</b>"
    effect = _effect(axis, complete, index)
    if effect is None:
        return name
    measure = f"{ETA_SQUARED} {effect:.2f}" if axis.scale == "category" else f"{RHO} {effect:+.2f}"
    return f"{name}  <span style='color:{MUTED}'>{measure}</span>"


def _effect(axis: Axis, complete: Sequence[TrialRecord], index: int) -> float | None:
    """Return how strongly the objective goes with a parameter, by the measure of its scale."""
    trials = [trial for trial in complete if axis.name in trial.params]
    values = [trial.params[axis.name] for trial in trials]
    objectives = [_objective(trial, index) for trial in trials]
    if axis.scale == "category":
        return share_explained([axis.index(value) for value in values], objectives)
    return rank_correlation(values, objectives)


def _joined(
    trials: Sequence[TrialRecord], index: int, most: int
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the trials' curves as one, with gaps between them: one trace draws them all."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str | None] = []
    for trial in trials:
        reports = sorted(trial.intermediate.items())
        for step, values in _evenly(reports, most):
            finite = math.isfinite(values[index])
            x.append(step)
            y.append(values[index] if finite else None)
            text.append(f"{_named(trial)}<br>step {escaped(step, 40)}: {_number(values[index])}")
        x.append(None)
        y.append(None)
        text.append(None)
    return x, y, text
