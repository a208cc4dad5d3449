"""One record: a live study, the loaded one and the resumed one say the same of every trial."""

from __future__ import annotations

import math
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hpsearch
from hpsearch import Categorical, Float, Int, Space, TrialPruned, hookimpl, when
from hpsearch.errors import HpsearchError
from hpsearch.pruners import MedianPruner
from hpsearch.storage.journal import load

ODD = ("$float", "$dict", "a.b", "=x", "", " ", "é\u202e\N{GRINNING FACE}", "a\nb", "\ud800", "id")
ODD_NAMES = [name for name in ODD if name]
TEXTS = st.sampled_from([*ODD, "nan", "\0", "'", "\\"]) | st.text(max_size=3)
FLOATS = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.1 + 0.2, 5e-324])
FACTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FLOATS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXTS, inner, max_size=3)
        | st.fixed_dictionaries({"$float": inner})
        | st.fixed_dictionaries({"$dict": inner})
    ),
    max_leaves=6,
)
STEPS = st.sampled_from([7, 2, 0, 2**63 - 1, 3, 2**53 + 1])


@dataclass
class Script:
    """What a trial does, from its reports to its end."""

    end: str
    values: list[float]
    reports: dict[int, list[float]]
    facts: dict[str, Any]
    constraints: dict[str, float]
    message: str


@dataclass
class Plan:
    """A search: its arguments, and the scripts that its trials follow in turn."""

    scripts: list[Script]
    space: Any
    options: dict[str, Any]


def scripts(directions):
    def several(numbers):
        return st.lists(numbers, min_size=directions, max_size=directions)

    return st.builds(
        Script,
        end=st.sampled_from(["complete", "complete", "complete", "pruned", "failed"]),
        values=several(st.sampled_from([0.0, -0.0, 1.0, -2.5, 1e308, 0.1 + 0.2])),
        reports=st.dictionaries(STEPS, several(FLOATS), max_size=4),
        facts=st.dictionaries(TEXTS, FACTS, max_size=3),
        constraints=st.dictionaries(
            st.sampled_from(ODD_NAMES),
            st.sampled_from([-1.0, -0.0, 0.0, 0.5, math.inf, -math.inf]),
            max_size=2,
        ),
        message=TEXTS,
    )


FLAT = Space(
    {
        "$float": Float(0, 1, step=0.1),
        "$dict": Int(-(2**60), 2**60),
        "=x": Categorical(["a", None, True, 2, 1.5, "", "\ud800"]),
        "a.b": Float(1e-5, 1, log=True),
        "a.é\nb": Int(1, 9, step=2),
    },
    conditions={"a.b": when(**{"=x": ["a", True, 1.5]})},
    groups=["a"],
)


def suggesting(trial):
    """A space function: another parameter in some trials, and derived values with tuples."""
    number = trial.suggest_float("$float", 0, 1, step=0.1)
    if trial.suggest_categorical("=x", ["a", None, True, 2, 1.5, ""]) in ("a", None):
        trial.suggest_int("a.b", -(2**60), 2**60)
    return {
        "$dict": (number, [1, (2, math.nan)]),
        "size": {"$float": "nan", "deep": {"$dict": {"": (None,)}}},
        "=y": ODD_NAMES,
    }


def point(space, number, choice):
    """Return what may be enqueued: all of a portable space, or what a function asks for first."""
    given = {"$float": number, "=x": choice}
    return {**given, "$dict": -7, "a.é\nb": 3} if space is FLAT else given


@st.composite
def plans(draw):
    directions = draw(st.sampled_from([["minimize"], ["maximize"], ["minimize", "maximize"]]))
    space = draw(st.sampled_from([FLAT, suggesting]))
    options: dict[str, Any] = {
        "direction": directions,
        "n_trials": draw(st.integers(1, 7)),
        "seed": draw(st.sampled_from([0, 1, 2**32 - 1])),
        "retries": draw(st.integers(0, 2)),
        "name": draw(st.sampled_from(["study", "$float", "é \N{GRINNING FACE}", "'; --"])),
    }
    if len(directions) == 1 and draw(st.booleans()):
        options["pruner"] = MedianPruner(n_startup_trials=1)
    points = [point(space, 0.1 + 0.2, ""), point(space, 1, 2)]
    options["enqueue"] = draw(st.lists(st.sampled_from(points), max_size=options["n_trials"] // 2))
    following = draw(st.lists(scripts(len(directions)), min_size=1, max_size=5))
    return Plan(following, space, options)


class Failure(Exception):
    pass


class Deletes:
    """Changes facts of trials after their end, as whoever deletes checkpoints does."""

    @hookimpl
    def hpsearch_tell(self, study, trial):
        if trial.number % 2:
            study.history.amend(trial, {"checkpoint": None, "$float": {"$float": "nan"}})
        if trial.number > 1:
            study.history.amend(study.trials[trial.number - 2], {"deleted by": trial.number})


def follow(plan):
    """Return an objective whose trials do what the plan says."""

    def objective(trial):
        script = plan.scripts[trial.number % len(plan.scripts)]
        for name, fact in script.facts.items():
            trial.annotate(name, fact)
        for name, value in script.constraints.items():
            trial.set_constraint(name, value)
        for step, values in script.reports.items():
            trial.report(values, step)
            if trial.should_prune():
                raise TrialPruned
        if script.end == "pruned":
            raise TrialPruned
        if script.end == "failed":
            raise Failure(script.message)
        return script.values

    return objective


def unexpected(trial):
    raise AssertionError(f"trial {trial.number} runs again")


def run(plan, path, objective, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return hpsearch.search(
            objective,
            plan.space,
            backend="random",
            catch=Failure,
            progress=False,
            **{**plan.options, "storage": path, **options},
        )


def said(study):
    """Return all that users read from a study, as text: there NaN is equal to itself."""
    try:
        best = [(run, dict(run.trial.params), run.checkpoint) for run in study.best_runs]
    except HpsearchError as error:
        best = [str(error)]
    if len(study.directions) == 1 and len(best) == 1 and not isinstance(best[0], str):
        assert study.best == best[0][0]
    return {
        "json": study.to_json(),
        "best": repr(best),
        "table": study.table(),
        "csv": study.to_csv(),
        "raw csv": study.to_csv(raw=True),
        "feasible": [trial.feasible for trial in study.trials],
        "fixed": repr([dict(trial.fixed) for trial in study.trials]),
        "steps": repr([trial.intermediate for trial in study.trials]),
        "reprs": repr(list(study.trials)),
        "distributions": repr([dict(study.distributions_of(t)) for t in study.trials]),
    }


def check(plan):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        live = run(plan, path, follow(plan), plugins=[Deletes()])
        loaded = load(path, plan.options["name"])
        resumed = run(plan, path, unexpected, resume=True)
        again = load(path, plan.options["name"])
    expected = said(live)
    for study in (loaded, resumed, again):
        assert said(study) == expected
    return live


@given(plans())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_live_loaded_and_resumed_studies_agree(plan):
    check(plan)


def plan(*following, space=FLAT, **options):
    return Plan(list(following), space, {"n_trials": 6, "seed": 3, "name": "study", **options})


DONE = Script("complete", [1.0], {}, {}, {}, "")


@pytest.mark.parametrize("space", [FLAT, suggesting])
def test_every_state_is_in_one_study_and_agrees(space):
    reports = {7: [math.nan], 2: [math.inf], 0: [-0.0]}
    live = check(
        plan(
            DONE,
            Script("pruned", [0.0], reports, {"": {"$float": "nan"}}, {"a": 1.0}, ""),
            Script("failed", [0.0], reports, {"x": (1, [2])}, {}, "\ud800\n"),
            Script("complete", [-1.0], reports, {"=x": math.nan}, {"=x": 0.5}, ""),
            space=space,
            retries=1,
            enqueue=[point(space, 0.1 + 0.2, None)],
        )
    )
    assert all(live.counts()[state] for state in ("complete", "pruned", "failed"))
    assert any(trial.retry_of is not None for trial in live.trials)
    assert live.best.objective == 1.0  # the trials with -1.0 break a constraint
    assert "0.30000000000000004" not in live.to_json()


def test_what_changes_after_the_end_is_in_the_loaded_study(tmp_path):
    live = run(plan(DONE), tmp_path / "study.db", lambda trial: 1.0, plugins=[Deletes()])
    loaded = load(tmp_path / "study.db")
    assert [trial.attrs.get("deleted by") for trial in loaded.trials] == [2, 3, 4, 5, None, None]
    assert loaded.trials[1].attrs["$float"] == {"$float": "nan"}
    assert [trial.attrs for trial in loaded.trials] == [trial.attrs for trial in live.trials]


def test_a_study_without_a_feasible_trial_says_so_everywhere():
    live = check(plan(Script("complete", [1.0], {}, {}, {"memory": 0.5}, "")))
    with pytest.raises(HpsearchError, match="no feasible trial"):
        _ = live.best
