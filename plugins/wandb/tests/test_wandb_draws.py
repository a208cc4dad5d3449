"""What is drawn here is distributed as W&B's own engine draws it."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from scipy import stats

import hpsearch
from hpsearch.space.distributions import Categorical, Float, Int
from hpsearch.study.record import TrialRecord
from hpsearch_wandb.definitions import KEYS
from hpsearch_wandb.dialect import SECTIONS
from hpsearch_wandb.engine import Bayes, axis_of, engine_at_work
from hpsearch_wandb.options import WandbOptions
from hpsearch_wandb.parameters import draw, encode, read
from hpsearch_wandb.sweep import Sweep

DRAWS = 4000

DEFINITIONS = [
    {"values": ["a", "b", "c"]},
    {"values": [1, 1, 2]},
    {"values": ["a", "b", "c"], "probabilities": [0.1, 0.2, 0.7]},
    {"min": 1, "max": 5},
    {"min": 1.0, "max": 5.0},
    {"distribution": "q_uniform", "min": 0, "max": 10, "q": 2},
    {"distribution": "q_uniform", "min": 0.1, "max": 1.0, "q": 0.25},
    {"distribution": "q_uniform", "min": -1.25, "max": 11.25, "q": 2.5},
    {"distribution": "log_uniform", "min": -5, "max": 1},
    {"distribution": "log_uniform_values", "min": 1e-4, "max": 10},
    {"distribution": "inv_log_uniform", "min": -1, "max": 5},
    {"distribution": "inv_log_uniform_values", "min": 1e-4, "max": 10},
    {"distribution": "q_log_uniform", "min": 0, "max": 3, "q": 2},
    {"distribution": "q_log_uniform_values", "min": 1, "max": 20, "q": 3.0},
    {"distribution": "q_log_uniform_values", "min": 0.5, "max": 16.5, "q": 1},
    {"distribution": "normal", "mu": -1, "sigma": 2},
    {"distribution": "q_normal", "mu": 3, "sigma": 2, "q": 2},
    {"distribution": "log_normal", "mu": 0.5, "sigma": 0.5},
    {"distribution": "q_log_normal", "mu": 1, "sigma": 0.5, "q": 0.5},
    {"distribution": "beta", "a": 2, "b": 5},
    {"distribution": "q_beta", "a": 2, "b": 5, "q": 0.25},
]


def of_the_engine(definition):
    """Draw as W&B's random search does, from the quantile function at uniform points."""
    with engine_at_work():
        from sweeps.params import HyperParameter

        parameter = HyperParameter("p", definition)
        points = random.Random(7)
        return [parameter.ppf(points.random()) for _ in range(DRAWS)]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=str)
def test_a_draw_is_distributed_as_that_of_wandbs_engine(definition):
    distribution, rng = read(definition), random.Random(3)
    ours = [draw(distribution, rng) for _ in range(DRAWS)]
    assert [distribution.validate(value) for value in ours] == ours
    theirs = [distribution.validate(_plain(value)) for value in of_the_engine(definition)]
    few = set(ours) | set(theirs)
    if len(few) < 50:
        counts = [[Counter(side)[value] for value in few] for side in (ours, theirs)]
        # Cells with hardly a draw would make the approximation poor.
        table = np.array(counts)[:, np.sum(counts, axis=0) >= 10]
        p_value = stats.chi2_contingency(table).pvalue
    else:
        p_value = stats.ks_2samp(ours, theirs).pvalue
    assert p_value > 0.01


@pytest.mark.parametrize(
    "distribution",
    [
        Float(2, 7),
        Float(1e-5, 1, log=True),
        Float(0.1, 0.6, step=0.25),
        Int(3, 9, step=3),
        Int(1, 64, log=True),
        Categorical(["a", "b", "c"]),
    ],
    ids=str,
)
def test_a_portable_parameter_is_drawn_alike_when_wandb_is_told_of_it(distribution):
    rng = random.Random(3)
    ours = [distribution.sample(rng) for _ in range(DRAWS)]
    theirs = [distribution.validate(_plain(v)) for v in of_the_engine(encode(distribution))]
    cells = distribution.values()
    if cells is None:
        assert stats.ks_2samp(ours, theirs).pvalue > 0.01
        return
    counts = [[Counter(side)[value] for value in cells] for side in (ours, theirs)]
    assert stats.chi2_contingency(np.array(counts)).pvalue > 0.01


@pytest.mark.parametrize(
    "distribution",
    [
        Categorical([None, False, 0.5, "", 3]),
        Int(2, 9),
        Int(1, 64, log=True),
        Float(0, 10, step=2.5),
        Float(-1, 0),
        read({"values": ["a", 0, "c"], "probabilities": [0.1, 0.2, 0.7]}),
        read({"distribution": "q_normal", "mu": 3, "sigma": 2, "q": 2}),
    ],
    ids=str,
)
def test_a_value_keeps_its_place_on_the_way_to_the_engine_and_back(distribution):
    axis, rng = axis_of(distribution), random.Random(0)
    for _ in range(50):
        value = draw(distribution, rng)
        back = axis.value(axis.position(value))
        assert back == value
        assert type(back) is type(value)


def test_choices_are_to_the_engine_what_wandb_makes_of_them():
    # The upper ends of equal shares, as HyperParameter.cdf gives for a choice that is not false.
    values = [8, 16, 32, 64]
    axis = axis_of(Categorical(values))
    with engine_at_work():
        from sweeps.params import HyperParameter

        parameter = HyperParameter("p", {"values": values})
        ends = [float(parameter.cdf(parameter.value_to_idx(value))) for value in values]
        points = np.linspace(0.01, 0.99, 37)
        assert [axis.position(value) for value in values] == pytest.approx(ends)
        assert [axis.value(point) for point in points] == parameter.ppf(points)


def test_the_grid_is_wandbs_own_point_by_point():
    config = {
        "method": "grid",
        "parameters": {
            "z": {"values": ["b", "a"]},
            "optimizer-x": {"value": 3},
            "optimizer": {"parameters": {"steps": {"min": 2, "max": 3}}},
            "a": {"distribution": "q_uniform", "min": 0.5, "max": 2.0, "q": 0.5},
        },
    }
    study = hpsearch.search(
        lambda trial: 0.0, config, backend="wandb", mode="disabled", n_trials=None, progress=False
    )
    theirs: list = []
    with engine_at_work() as sweeps:
        while (run := sweeps.next_run(config, theirs)) is not None:
            theirs.append(run)
    assert len(study.trials) == len(theirs) == 12
    for trial, run in zip(study.trials, theirs, strict=True):
        assert {name: item["value"] for name, item in run.config.items()} == {
            "z": trial["z"],
            "optimizer-x": 3,
            "optimizer": {"steps": trial["optimizer.steps"]},
            "a": trial["a"],
        }


def test_a_search_leaves_numpys_random_numbers_alone_and_repeats_itself():
    def search(seed):
        return hpsearch.search(
            lambda trial: (trial["x"] - 1) ** 2,
            {"x": Float(-5, 5)},
            backend="wandb",
            mode="disabled",
            method="bayes",
            n_trials=6,
            seed=seed,
            progress=False,
        )

    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    first = search(1)
    assert np.random.random(3).tolist() == expected.tolist()  # noqa: NPY002
    assert [t.params for t in search(1).trials] == [t.params for t in first.trials]
    assert [t.params for t in search(2).trials] != [t.params for t in first.trials]


def test_bayes_takes_account_of_the_trials_that_still_run():
    study = hpsearch.search(
        lambda trial: (trial["x"] - 1) ** 2,
        {"x": Float(-5, 5)},
        backend="wandb",
        mode="disabled",
        n_trials=4,
        seed=0,
        progress=False,
    )
    bayes = Bayes(study, Sweep.of(study, WandbOptions(method="bayes")))
    for trial in study.trials:
        bayes.tell(trial)
    next_trial = TrialRecord(5, study_seed=0)
    alone = bayes.suggest(next_trial)
    bayes.start(TrialRecord(4, params=alone, study_seed=0))
    assert bayes.suggest(next_trial) != alone


def test_bayes_gets_nearer_than_random():
    def best(method):
        studies = [
            hpsearch.search(
                lambda trial: (trial["x"] - 1) ** 2 + (trial["opt"]["y"] + 2) ** 2,
                {
                    "method": method,
                    "parameters": {
                        "x": {"min": -5.0, "max": 5.0},
                        "opt": {"parameters": {"y": {"min": -5.0, "max": 5.0}}},
                    },
                },
                backend="wandb",
                mode="disabled",
                n_trials=20,
                seed=seed,
                progress=False,
            )
            for seed in range(3)
        ]
        return sorted(study.best.objective for study in studies)[1]

    assert best("bayes") < best("random") / 2


def test_the_schema_has_no_distribution_that_is_not_read():
    with engine_at_work():
        from sweeps.config.schema import sweep_config_jsonschema as schema

    kinds = schema["definitions"]["parameter"]["anyOf"]
    known = set()
    for reference in kinds:
        definition = schema["definitions"][reference["$ref"].rpartition("/")[2]]
        for form in definition.get("anyOf", [definition]):
            known |= set(form["properties"].get("distribution", {"enum": []})["enum"])
    assert known == set(KEYS)
    assert set(schema["properties"]) == {*SECTIONS, "metrics", "scheduler"}


def _plain(value):
    return value.item() if hasattr(value, "item") else value
