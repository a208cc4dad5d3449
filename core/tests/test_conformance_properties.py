"""What the kit is made of holds for any space, any number of workers and any distribution."""

from __future__ import annotations

import math
import pickle
import random
import tempfile
from importlib import metadata
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import hpsearch
from hpsearch import Categorical, Float, Int, Space
from hpsearch.study.record import TrialRecord
from hpsearch.testing.distributions import fake_distribution, importable
from hpsearch.testing.executors import SeveralOpen
from hpsearch.testing.objectives import Distance, score
from hpsearch.testing.observer import Recorder

finite = st.floats(-1e6, 1e6)
floats = st.tuples(finite, finite).map(lambda ends: Float(min(ends), max(ends)))
integers = st.tuples(st.integers(), st.integers()).map(lambda ends: Int(min(ends), max(ends)))
choices = st.none() | st.booleans() | st.integers() | finite | st.text()
categories = st.lists(choices, min_size=1, unique=True).map(Categorical)
spaces = st.dictionaries(st.text(min_size=1), floats | integers | categories, min_size=1)


@given(parameters=spaces, seed=st.integers(0, 2**32 - 1))
def test_the_objective_of_the_kit_is_finite_anywhere_and_the_same_elsewhere(parameters, seed):
    point = Space(parameters).sample(random.Random(seed))
    trial = TrialRecord(0, params=point)
    elsewhere = pickle.loads(pickle.dumps(Distance(sign=-1.0)))
    assert math.isfinite(score(point))
    assert elsewhere(trial) == -score(point)


@settings(max_examples=25)
@given(
    workers=st.integers(1, 6),
    n_trials=st.integers(1, 12),
    last_first=st.booleans(),
    parameters=spaces,
)
def test_every_trial_that_is_held_open_ends_once(workers, n_trials, last_first, parameters):
    recorder = Recorder()
    study = hpsearch.search(
        Distance(),
        parameters,
        backend="random",
        n_trials=n_trials,
        executor=SeveralOpen(workers, last_first=last_first),
        plugins=[recorder],
        progress=False,
    )
    assert sorted(recorder.told) == recorder.started == list(range(n_trials))
    assert recorder.most_open == min(workers, n_trials)
    assert study.counts()["complete"] == n_trials


words = st.from_regex(r"[a-zA-Z][a-zA-Z0-9]{0,5}", fullmatch=True)


@settings(max_examples=25)
@given(
    name=st.lists(words, min_size=1, max_size=3),
    version=st.integers(0, 99),
    backends=st.sets(words),
)
def test_a_fake_distribution_reads_like_any_other(name, version, backends):
    points = {"hpsearch.backends": {backend: f"somewhere:{backend}" for backend in backends}}
    with tempfile.TemporaryDirectory() as folder:
        fake_distribution(Path(folder), "-".join(name), f"{version}.0", points)
        with importable(Path(folder)):
            (found,) = metadata.distributions(name="-".join(name), path=[folder])
            assert found.metadata["Name"] == "-".join(name)
            assert found.version == f"{version}.0"
            assert {entry.name for entry in found.entry_points} == backends
