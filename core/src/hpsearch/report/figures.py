"""The figures of a report, each made from a study alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hpsearch.report.axes import MISSING, Axis, axis_of, log_worthwhile, searched
from hpsearch.report.effects import ETA_SQUARED, RHO, rank_correlation, share_explained
from hpsearch.report.export import best_trials, objective_names
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
from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord

if TYPE_CHECKING:
    from hpsearch.study.study import Study

MOST_CURVES = 400
"""How many trials' intermediate results are drawn: the best, then the latest of the others."""

MOST_LINES = 500
"""How many trials parallel coordinates draw: the best, and others evenly down to the worst."""

_COLORBAR = {"thickness": 12, "outlinewidth": 0}


def history(study: Study, index: int = 0) -> go.Figure:
    """Each trial's objective value by its number, and the best so far."""
    complete = completed(study)
    pruned = _in_state(study, TrialState.PRUNED)
    reported = [trial for trial in pruned if _last_report(trial, index) is not None]
    silent = [trial for trial in pruned if _last_report(trial, index) is None]
    figure = styled(go.Figure(), height=400 if len(study.directions) == 1 else 320)
    size, opacity = (8, 0.75) if len(study.trials) <= MANY_POINTS else (4, 0.4)

    def mark(
        trials: Sequence[TrialRecord], value: Callable[[TrialRecord], Any], name: str, **how: Any
    ) -> None:
        if trials:
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
    mark(complete, lambda trial: _objective(trial, index), "complete", marker=solid)
    mark(reported, lambda trial: _last_report(trial, index), "pruned, last report", marker=hollow)
    # What has no value stands at the bottom, on an axis of its own.
    mark(silent, lambda _: 0.02, "pruned", marker=hollow, yaxis="y2")
    mark(_in_state(study, TrialState.FAILED), lambda _: 0.02, "failed", marker=cross, yaxis="y2")
    if complete:
        figure.add_trace(_best_so_far(study, complete, index))
    values = [_objective(trial, index) for trial in complete]
    figure.update_yaxes(title=_objective_title(study, index), type=_scale(values))
    last = study.trials[-1].number
    figure.update_xaxes(title="trial", range=_from_zero(last), zeroline=False)
    if last <= 20:
        figure.update_xaxes(dtick=1)
    figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False})
    return figure


def slices(study: Study, index: int = 0) -> go.Figure:
    """The objective against each parameter, in a small figure each."""
    names = searched(study)
    complete = completed(study)
    across = 2 if len(names) in (2, 4) else min(3, len(names))
    down = math.ceil(len(names) / across)
    figure = make_subplots(
        rows=down,
        cols=across,
        subplot_titles=[_slice_title(axis_of(study, name), complete, index) for name in names],
        shared_yaxes="all",
        horizontal_spacing=0.04,
        vertical_spacing=0.36 / down if down > 1 else 0,
    )
    styled(figure, height=290 * down + 80).update_layout(margin={"t": 64})
    draw = points(len(complete) * len(names))
    for place, name in enumerate(names):
        where = {"row": place // across + 1, "col": place % across + 1}
        axis = axis_of(study, name)
        trials = [trial for trial in complete if name in trial.params]
        trace = draw(
            x=[axis.place(trial.params[name], trial.number) for trial in trials],
            y=[_objective(trial, index) for trial in trials],
            mode="markers",
            showlegend=False,
            marker={
                "color": [trial.number for trial in trials],
                "size": 8 if len(complete) <= MANY_POINTS else 4,
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
    """Every complete trial as a line across its parameters to its objectives, the best on top."""
    sign = 1 if study.directions[0] == "maximize" else -1
    ranked = sorted(completed(study), key=lambda trial: -sign * _objective(trial, 0))
    complete = ranked[:: math.ceil(len(ranked) / MOST_LINES)][::-1]
    dimensions = []
    for name in searched(study):
        values = [trial.params.get(name, MISSING) for trial in complete]
        label = escaped(name, 28)
        dimensions.append({"label": label, **axis_of(study, name).dimension(values)})
    for index, name in enumerate(objective_names(study)):
        values = [_objective(trial, index) for trial in complete]
        dimensions.append({"label": name, "values": values})
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
    best = {trial.number for trial in best_trials(study)}
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
            x, y, text = _joined(chosen, index)
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
    front = sorted(best_trials(study), key=lambda trial: _objective(trial, 0))
    numbers = {trial.number for trial in front}
    others = [trial for trial in completed(study) if trial.number not in numbers]
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


def reporting(study: Study) -> list[TrialRecord]:
    """Return the trials that reported several steps: the best, then the latest first."""
    best = {trial.number for trial in best_trials(study)}
    trials = [trial for trial in study.trials if len(trial.intermediate) > 1]
    return sorted(trials, key=lambda trial: (trial.number not in best, -trial.number))


def _in_state(study: Study, state: TrialState) -> list[TrialRecord]:
    return _in(study.trials, state)


def _in(trials: Sequence[TrialRecord], state: TrialState) -> list[TrialRecord]:
    return [trial for trial in trials if trial.state is state]


def _objective(trial: TrialRecord, index: int) -> float:
    assert trial.objectives is not None
    return trial.objectives[index]


def _last_report(trial: TrialRecord, index: int) -> float | None:
    values = [values[index] for values in trial.intermediate.values()]
    return next((value for value in reversed(values) if math.isfinite(value)), None)


def _objective_title(study: Study, index: int) -> str:
    return f"{objective_names(study)[index]} ({study.directions[index]})"


def _from_zero(last: int) -> list[float]:
    """Return a range in which marks at 0 and at ``last`` are whole."""
    edge = max(0.5, 0.015 * last)
    return [-edge, last + edge]


def _scale(values: Sequence[float]) -> str:
    return "log" if log_worthwhile(values) else "linear"


def _best_so_far(study: Study, complete: Sequence[TrialRecord], index: int) -> go.Scatter:
    better = min if study.directions[index] == "minimize" else max
    best = list(itertools.accumulate((_objective(trial, index) for trial in complete), better))
    return go.Scatter(
        x=[*(trial.number for trial in complete), study.trials[-1].number],
        y=[*best, best[-1]],
        mode="lines",
        name="best so far",
        line={"color": GREEN, "width": 2.5, "shape": "hv"},
        hoverinfo="skip",
    )


def _story(study: Study, trial: TrialRecord) -> str:
    lines = [f"<b>trial {trial.number}</b> {trial.state}"]
    names = objective_names(study)
    lines += [f"{n} {shown(v, 6)}" for n, v in zip(names, trial.objectives or (), strict=False)]
    if trial.intermediate and trial.objectives is None:
        step, values = list(trial.intermediate.items())[-1]
        lines.append(f"step {step}: {', '.join(shown(value, 6) for value in values)}")
    if trial.error is not None:
        lines.append(escaped(str(trial.error).partition("\n")[0], 80))
    lines += [f"{escaped(n, 40)} = {escaped(v, 40)}" for n, v in trial.items()]
    return "<br>".join(lines)


def _point(axis: Axis, trial: TrialRecord, index: int) -> str:
    value = escaped(trial.params[axis.name], 40)
    return (
        f"<b>trial {trial.number}</b><br>{escaped(axis.name, 40)} = {value}"
        f"<br>objective {shown(_objective(trial, index), 6)}"
    )


def _slice_title(axis: Axis, complete: Sequence[TrialRecord], index: int) -> str:
    """Name the parameter, and say how strongly the objective goes with it."""
    trials = [trial for trial in complete if axis.name in trial.params]
    values = [trial.params[axis.name] for trial in trials]
    objectives = [_objective(trial, index) for trial in trials]
    name = f"<b>{escaped(axis.name, 34)}</b>"
    if axis.scale == "category":
        effect = share_explained([axis.index(value) for value in values], objectives)
        measure = f"{ETA_SQUARED} {effect:.2f}" if effect is not None else ""
    else:
        effect = rank_correlation(values, objectives)
        measure = f"{RHO} {effect:+.2f}" if effect is not None else ""
    return f"{name}  <span style='color:{MUTED}'>{measure}</span>" if measure else name


def _joined(trials: Sequence[TrialRecord], index: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the trials' curves as one, with gaps between them: one trace draws them all."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str | None] = []
    for trial in trials:
        for step, values in sorted(trial.intermediate.items()):
            finite = math.isfinite(values[index])
            x.append(step)
            y.append(values[index] if finite else None)
            text.append(f"<b>trial {trial.number}</b><br>step {step}: {shown(values[index], 6)}")
        x.append(None)
        y.append(None)
        text.append(None)
    return x, y, text
