"""The report: one HTML page that works for any study and trusts no name in it."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
import sys
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest
from scipy import stats

import hpsearch
from hpsearch import Categorical, Float, Int, Space, report, when
from hpsearch.report import figures
from hpsearch.report import page as page_module
from hpsearch.report.axes import MISSING, axis_of
from hpsearch.report.effects import rank_correlation, share_explained
from hpsearch.study.record import TrialRecord

SPACE = Space(
    {
        "learning_rate": Float(1e-5, 1e-1, log=True),
        "optimizer": Categorical(["sgd", "adam", None]),
        "momentum": Float(0.0, 1.0),
        "layers": Int(1, 6),
    },
    {"momentum": when(optimizer="sgd")},
)
HOSTILE = "</script><img src=x onerror=alert(1)>"


def objective(trial):
    for step in range(5):
        trial.report(trial["learning_rate"] * (step or math.nan), step * 10)
        if trial.number % 5 == 1 and step == 2:
            raise hpsearch.TrialPruned
        if trial.number % 7 == 3 and step == 3:
            raise RuntimeError(f"out of memory in {trial.number}")
    return trial["learning_rate"]


def run(n_trials=30, objective=objective, space=SPACE, **arguments):
    arguments = {"backend": "random", "seed": 5, "max_failures": math.inf} | arguments
    return hpsearch.search(objective, space, n_trials=n_trials, progress=False, **arguments)


@pytest.fixture(scope="module")
def study():
    return run()


@pytest.fixture(scope="module")
def page(study):
    return report.html(study)


class Tags(HTMLParser):
    """Collects every tag, and the text outside of scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.scripts = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.lasttag == "script":
            self.scripts.append(data)
        elif self.lasttag != "style":
            self.text += data + "\n"


def listed(page):
    """The table of trials, as the page's script reads it."""
    return json.loads(re.search(r'id="trials-data">(.*?)</script>', page, re.DOTALL)[1])


def trace(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


def test_the_page_loads_nothing_from_a_network(page):
    for tag, attributes in Tags(page).tags:
        assert "src" not in attributes, tag
        assert tag != "link"
    assert page.count("plotly.js v") == 1


def test_no_button_of_a_figure_sends_it_to_a_server(page):
    configs = re.findall(r'"modeBarButtons": ?(\[\[.*?\]\])', page)
    assert len(configs) == page.count("Plotly.newPlot(")
    for config in configs:
        assert "Cloud" not in config


def test_the_page_has_a_section_for_everything_that_the_study_has(page):
    text = Tags(page).text
    for title in (
        "Best run",
        "Optimisation history",
        "Slices",
        "Parallel coordinates",
        "Intermediate results",
        "Trials",
        "Failures",
        "Facts",
    ):
        assert f"\n{title}\n" in text


def test_the_table_has_every_trial(study, page):
    table = listed(page)
    assert [row[0] for row in table["rows"]] == [trial.number for trial in study.trials]
    assert table["best"] == [study.best.trial.number]
    column = table["columns"].index("momentum")
    for row, trial in zip(table["rows"], study.trials, strict=True):
        assert row[column] == trial.get("momentum")
        assert row[2] == trial.objective


def test_each_kind_of_failure_is_shown_once_with_its_traceback():
    def fail(trial):
        raise RuntimeError("the same" if trial.number else "the first")

    text = Tags(report.html(run(objective=fail, n_trials=4))).text
    assert text.count("Traceback (most recent call last)") == 2
    assert "Trial 1 and 2 more" in text


def test_names_and_values_with_markup_in_them_stay_text():
    def fail(trial):
        if trial.number == 1:
            raise ValueError(HOSTILE)
        return trial[HOSTILE]

    space = {HOSTILE: Float(0.0, 1.0), "<b>%{x}</b>": Categorical([HOSTILE, "<i>", None, True])}
    plain, hostile = run(), run(objective=fail, space=space, name=HOSTILE)
    known, met = Tags(report.html(plain)), Tags(report.html(hostile))
    assert {tag for tag, _ in met.tags} <= {tag for tag, _ in known.tags}
    scripts = [tag for tag, _ in met.tags].count("script")
    assert scripts == report.html(hostile).count("Plotly.newPlot(") + 3
    assert met.text.count(HOSTILE) >= 4


MARK = "<img src=x onerror=1>\u2028</script><!--"


def planted():
    """A study with a mark wherever a journal that was edited by hand can have text."""
    space = {f"x{MARK}": Categorical([f"choice{MARK}", "other"]), "y": Float(0.0, 1.0)}

    def objective(trial):
        for step in range(3):
            trial.report(trial["y"], step)
        trial.annotate("metrics", {f"metric{MARK}": f"value{MARK}"})
        trial.annotate("environment", {f"version{MARK}": f"1{MARK}"})
        trial.annotate(f"fact{MARK}", f"of a trial{MARK}")
        if trial.number % 4 == 3:
            raise RuntimeError(f"failed{MARK}\n{MARK}")
        return trial["y"]

    study = run(n_trials=16, objective=objective, space=space)
    study.name, study.backend = f"name{MARK}", f"backend{MARK}"
    study.seed, study.n_trials = f"seed{MARK}", f"n_trials{MARK}"
    for trial in study.trials:
        trial.id = f"{trial.id}{MARK}"
        if trial.error is not None:
            fields = {"type": MARK, "traceback": f"Traceback {MARK}", "bases": (MARK,)}
            trial.error = dataclasses.replace(trial.error, **fields)
    return study


@pytest.mark.parametrize("directions", [1, 2])
def test_no_field_of_a_study_becomes_markup(directions):
    study = planted()
    if directions > 1:
        for trial in study.trials:
            trial.objectives = trial.objectives and (*trial.objectives, 1.0)
            trial.intermediate = {s: (*v, 1.0) for s, v in trial.intermediate.items()}
    study.directions = (f"minimize{MARK}",) * directions
    page = report.html(study)
    for form in ("<img", "<!--", "\u2028"):
        assert form not in page.partition("<body>")[2], form
    assert "<img" not in page.partition("<title>")[2].partition("</title>")[0]
    tags = Tags(page)
    assert "img" not in {tag for tag, _ in tags.tags}
    assert [tag for tag, _ in tags.tags].count("script") == page.count("Plotly.newPlot(") + 3
    shown = tags.text + json.dumps(listed(page))
    of_the_best = ("metric", "value", "fact") if directions == 1 else ()
    for field in ("name", "backend", "seed", "n_trials", "x", "choice", "failed", *of_the_best):
        assert f"{field}<img" in shown, field


def test_the_passwords_of_urls_stay_out_of_the_page():
    def fail(trial):
        raise RuntimeError("no answer from postgres://me:s3cret@host/db")

    page = report.html(run(objective=fail, n_trials=1))
    assert "s3cret" not in page
    assert "postgres://***@host/db" in page


def test_no_text_of_a_figure_is_read_as_markup():
    space = {HOSTILE: Categorical([HOSTILE, "<i>", None, True])}
    study = run(objective=lambda trial: 1.0, space=space)
    for draw in (figures.history, figures.slices):
        drawn = draw(study).to_json()
        assert "img" in drawn
        assert r"\u003cimg" not in drawn
        assert r"\u003ci\u003e" not in drawn


def test_history_has_each_complete_value_and_the_best_so_far(study):
    figure = figures.history(study)
    complete = [trial for trial in study.trials if trial.state == "complete"]
    assert list(trace(figure, "complete").y) == [trial.objective for trial in complete]
    best = trace(figure, "best so far").y
    assert list(best) == sorted(best, reverse=True)
    assert best[-1] == study.best.objective


def test_history_of_a_search_upwards_rises():
    best = trace(figures.history(run(direction="maximize")), "best so far").y
    assert list(best) == sorted(best)


def test_history_marks_pruned_trials_at_their_last_report_and_failed_ones_below(study):
    figure = figures.history(study)
    pruned = [trial for trial in study.trials if trial.state == "pruned"]
    assert list(trace(figure, "pruned, last report").y) == [
        trial.intermediate[20][0] for trial in pruned
    ]
    failed = [trial.number for trial in study.trials if trial.state == "failed"]
    assert list(trace(figure, "failed").x) == failed
    assert trace(figure, "failed").yaxis == "y2"


def test_a_value_that_outgrows_the_others_a_thousandfold_is_drawn_on_a_log_scale():
    def steep(trial):
        return 10.0 ** (trial["x"] * 6)

    figure = figures.history(run(objective=steep, space={"x": Float(0, 1)}))
    assert figure.layout.yaxis.type == "log"
    figure = figures.history(run(objective=lambda trial: trial["x"], space={"x": Float(1, 2)}))
    assert figure.layout.yaxis.type == "linear"


def test_slices_have_the_scale_of_the_space(study):
    figure = figures.slices(study)
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis2.ticktext) == ["sgd", "adam", "None"]
    complete = [trial for trial in study.trials if trial.state == "complete"]
    assert list(figure.data[0].x) == [trial["learning_rate"] for trial in complete]
    assert [round(x) for x in figure.data[1].x] == [
        ["sgd", "adam", None].index(trial["optimizer"]) for trial in complete
    ]


def test_a_slice_leaves_out_trials_that_did_not_search_the_parameter(study):
    names = list(dict.fromkeys(name for trial in study.trials for name in trial))
    points = figures.slices(study).data[names.index("momentum")]
    searched = [t for t in study.trials if "momentum" in t and t.state == "complete"]
    assert 0 < len(points.x) == len(searched) < len(figures.completed(study))


def test_parallel_coordinates_put_a_parameter_that_was_not_searched_below_the_others(study):
    dimension = axis_of(study, "momentum").dimension([0.5, MISSING, 0.9])
    assert dimension["ticktext"][0] == "not searched"
    assert dimension["values"][1] == dimension["tickvals"][0] == dimension["range"][0]
    assert dimension["values"][1] < 0.5


def test_categories_keep_their_type():
    space = {"x": Categorical([True, 1.5, "1", None]), "y": Categorical([2, 8, 4])}
    study = run(objective=lambda trial: 1.0, space=space, backend="grid", n_trials=12)
    axis = axis_of(study, "x")
    assert [axis.index(value) for value in (True, 1.5, "1", None)] == [0, 1, 2, 3]
    assert axis_of(study, "y").choices == (2, 4, 8)


def test_curves_leave_a_gap_for_nan_and_between_trials(study):
    complete = trace(figures.curves(study), "complete")
    assert complete.y[0] is None
    assert complete.x[0] == 0
    assert complete.x[5] is None
    assert set(complete.x) <= {0, 10, 20, 30, 40, None}


@pytest.mark.parametrize("directions", [2, 3])
def test_several_directions_show_the_front_in_pairs(directions):
    def several(trial):
        return [trial["x"] ** 2, (trial["x"] - 1) ** 2 + trial["y"], trial["y"]][:directions]

    space = {"x": Float(0, 1), "y": Float(0, 1)}
    study = run(objective=several, space=space, direction=["minimize"] * directions)
    figure = figures.fronts(study)
    front = [data for data in figure.data if data.name == "Pareto front"]
    assert len(front) == {2: 1, 3: 3}[directions]
    assert sorted(front[0].x) == sorted(run.objective[0] for run in study.best_runs)
    text = Tags(report.html(study)).text
    assert "\nSlices of objective_1\n" in text
    assert "\nBest run\n" not in text


def test_the_page_of_no_trials_says_so():
    text = Tags(report.html(hpsearch.Study("empty", ["minimize"]))).text
    assert "No trial has started yet" in text


@pytest.mark.parametrize("failing", [False, True])
def test_the_page_of_one_trial_is_whole(failing):
    def one(trial):
        if failing:
            raise ValueError("alone")
        return 1.0

    page = report.html(run(objective=one, n_trials=1))
    assert len(listed(page)["rows"]) == 1
    assert ("alone" in Tags(page).text) == failing


def test_a_parameter_with_one_value_can_be_drawn():
    page = report.html(run(space={"x": Float(1.0, 1.0)}, objective=lambda trial: 1.0))
    assert "\nParallel coordinates\n" in Tags(page).text


@pytest.mark.slow
def test_the_page_of_ten_thousand_trials_has_them_all():
    def quick(trial):
        trial.report(trial["learning_rate"], 1)
        trial.report(trial["learning_rate"], 2)
        return trial["learning_rate"]

    study = run(objective=quick, n_trials=10_000)
    page = report.html(study)
    assert len(listed(page)["rows"]) == 10_000
    assert isinstance(trace(figures.history(study), "complete"), go.Scattergl)
    assert f"{figures.MOST_CURVES} of 10000" in page
    lines = figures.parallel(study).data[0].dimensions[-1]["values"]
    assert len(lines) <= figures.MOST_LINES
    assert lines[-1] == study.best.objective


def test_of_many_trials_the_best_and_others_evenly_are_drawn(monkeypatch, study):
    monkeypatch.setattr(figures, "MOST_POINTS", 10)
    monkeypatch.setattr(figures, "MOST_MARKS", 40)
    complete = [trial for trial in study.trials if trial.state == "complete"]
    drawn = trace(figures.history(study), "complete")
    assert len(drawn.x) <= 10
    assert set(drawn.x) < {trial.number for trial in complete}
    assert set(sorted(trial.objective for trial in complete)[:5]) <= set(drawn.y)
    assert max(drawn.x) - min(drawn.x) > 10
    for points in figures.slices(study).data:
        assert len(points.x) <= 10
    text = Tags(report.html(study)).text
    assert f"Of {len(complete)} complete trials, at most 10 are drawn" in text
    assert len(listed(report.html(study))["rows"]) == len(study.trials)


def test_the_best_so_far_ends_at_the_best_however_many_are_drawn(monkeypatch, study):
    monkeypatch.setattr(figures, "MOST_POINTS", 4)
    best = trace(figures.history(study), "best so far")
    assert best.y[-1] == study.best.objective
    assert best.x[-1] == study.trials[-1].number


def test_of_many_parameters_those_with_the_strongest_effects_are_drawn():
    def objective(trial):
        return trial["parameter_40"] + (trial["choice"] == "bad")

    space = {f"parameter_{index}": Float(0, 1) for index in range(figures.MOST_AXES + 20)}
    study = run(objective=objective, space={**space, "choice": Categorical(["good", "bad"])})
    drawn = figures.slices(study)
    assert len(drawn.data) == figures.MOST_AXES
    titles = [note.text for note in drawn.layout.annotations]
    assert {"choice", "parameter_40"} == {title[3:].partition("<")[0] for title in titles[:2]}
    dimensions = figures.parallel(study).data[0].dimensions
    assert len(dimensions) == figures.MOST_AXES + 1
    page = report.html(study)
    text = Tags(page).text
    assert f"Of {len(space) + 1} parameters, at most {figures.MOST_AXES} are drawn" in text
    assert set(space) < set(listed(page)["columns"])
    story = trace(figures.history(study), "complete").hovertext[0]
    assert f"and {len(space) + 1 - figures.MOST_VALUES} more" in story


def test_a_long_curve_is_drawn_with_some_of_its_steps(monkeypatch, study):
    monkeypatch.setattr(figures, "MOST_STEPS", 3)
    assert set(trace(figures.curves(study), "complete").x) == {0, 20, 40, None}


def test_a_table_with_too_many_values_lists_the_best_trials_and_says_so(monkeypatch, study):
    monkeypatch.setattr(page_module, "MOST_CELLS", 20)
    page = report.html(study)
    ranked = sorted((t for t in study.trials if t.objectives), key=lambda trial: trial.objective)
    numbers = [row[0] for row in listed(page)["rows"]]
    assert numbers == sorted(trial.number for trial in ranked[:5])
    assert f"The best 5 of {len(study.trials)}." in Tags(page).text


def test_a_large_table_has_the_digits_that_the_page_shows(monkeypatch, study):
    monkeypatch.setattr(page_module, "FEW_CELLS", 20)
    for row, trial in zip(listed(report.html(study))["rows"], study.trials, strict=True):
        assert row[2] == (trial.objective and float(f"{trial.objective:.6g}"))


def test_trials_that_break_their_constraints_are_drawn_apart_and_are_never_the_best_so_far():
    trials = []
    space = Space({"x": Float(0, 9)})
    study = hpsearch.Study("constrained", ["minimize"], space=space, trials=trials)
    for number, (x, feasible) in enumerate([(5.0, True), (1.0, False), (4.0, True)]):
        trial = TrialRecord(number, params={"x": x})
        trial.state, trial.objectives = hpsearch.TrialState.COMPLETE, (x,)
        trial.ended = 1.0
        trial.constrain("size", 0.0 if feasible else 0.1)
        trials.append(trial)
    figure = figures.history(study)
    assert list(trace(figure, "complete").y) == [5.0, 4.0]
    assert list(trace(figure, "complete, breaks a constraint").y) == [1.0]
    assert list(trace(figure, "best so far").y) == [5.0, 4.0, 4.0]
    assert list(figures.parallel(study).data[0].dimensions[-1]["values"]) == [1.0, 5.0, 4.0]
    assert study.best.objective == 4.0
    assert "keeps its constraints" not in report.html(study)
    for trial in study.trials:
        trial.constrain("size", 0.1)
    assert "no complete trial keeps its constraints" in Tags(report.html(study)).text


def test_writing_returns_the_file(study, tmp_path):
    path = report.write(study, tmp_path / "study.html")
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_folder_that_does_not_exist_is_one_clear_error(study, tmp_path):
    with pytest.raises(hpsearch.HpsearchError, match="cannot be written"):
        report.write(study, tmp_path / "nowhere" / "study.html")


def test_without_plotly_the_error_says_what_to_install(study, monkeypatch):
    monkeypatch.delitem(sys.modules, "hpsearch.report.page", raising=False)
    monkeypatch.delattr(report, "page", raising=False)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(hpsearch.HpsearchError, match=re.escape("pip install 'hpsearch[report]'")):
        report.html(study)


@pytest.mark.parametrize("seed", range(10))
def test_the_rank_correlation_is_spearmans(seed):
    rng = random.Random(seed)
    x = [rng.randint(0, 9) for _ in range(40)]
    y = [value + rng.gauss(0, 5) for value in x]
    assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


@pytest.mark.parametrize("seed", range(10))
def test_the_share_explained_is_that_of_the_kruskal_wallis_test(seed):
    rng = random.Random(seed)
    groups = [rng.choice("abc") for _ in range(40)]
    y = [float(rng.randint(0, 9) + ord(group) % 3) for group in groups]
    apart = [[v for v, g in zip(y, groups, strict=True) if g == name] for name in "abc"]
    assert share_explained(groups, y) == pytest.approx(stats.kruskal(*apart).statistic / 39)


def test_no_measure_is_given_where_there_is_nothing_to_measure():
    assert rank_correlation([1.0] * 10, list(range(10))) is None
    assert rank_correlation([1.0, 2.0], [1.0, 2.0]) is None
    assert share_explained(["a"] * 10, list(range(10))) is None
    assert share_explained(["a", "b"] * 5, [1.0] * 10) is None
