"""SigOpt's engine on today's NumPy: what is put right for it alone, and what others see of that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from scipy.stats import qmc

import hpsearch
from hpsearch import Float, Int
from hpsearch.errors import BackendError
from hpsearch.plugins.installers import Engine
from hpsearch_sigopt import engine, quasirandom
from hpsearch_sigopt.engine import seeded

FRESH = """
import json, os, sys
import numpy
before = set(vars(numpy)), dict(os.environ)
import hpsearch
study = hpsearch.search(
    lambda trial: (trial["x"] > 0.5) + 0.0, {"x": hpsearch.Float(0, 1), "k": hpsearch.Int(0, 3)},
    backend="sigopt", n_trials=3, seed=1, progress=False, type="random",
)
print(json.dumps({
    "trials": len(study.trials),
    "qmcpy": "qmcpy" in sys.modules,
    "product": hasattr(numpy, "product"),
    "numpy": sorted(set(vars(numpy)) - before[0]),
    "environment": dict(os.environ) == before[1],
}))
"""


def fresh(program, **arguments):
    environment = {key: value for key, value in os.environ.items() if key != "SIGOPT_PROJECT"}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        **arguments,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_nothing_of_what_the_engine_needs_is_left_behind(tmp_path):
    """The folder has no project's name, and the client refuses to be imported there."""
    folder = tmp_path / "ÄÖÜ"
    folder.mkdir()
    seen = json.loads(fresh(FRESH, cwd=folder))
    assert seen == {
        "trials": 3,
        "qmcpy": False,
        "product": hasattr(np, "product"),
        "numpy": seen["numpy"],
        "environment": True,
    }
    assert "product" not in seen["numpy"]


def test_a_real_qmcpy_is_the_users_again_afterwards(monkeypatch):
    mine = type(sys)("qmcpy")
    monkeypatch.setitem(sys.modules, "qmcpy", mine)
    engine.load()
    assert sys.modules["qmcpy"] is mine


def test_a_missing_engine_says_what_to_run(monkeypatch):
    absent = Engine("sigopt", requirements=(), pinned=("sigoptlite==9.9.9",))
    monkeypatch.setattr(engine, "ENGINE", absent)
    with pytest.raises(BackendError, match=r"sigoptlite==9\.9\.9.*hpsearch install sigopt"):
        hpsearch.search(lambda trial: 1.0, {"x": Float(0, 1)}, backend="sigopt", progress=False)


def test_the_engine_is_installed_without_a_compiler():
    """Its own pins would have pip build NumPy 1.22 and qmcpy."""
    packages = [*engine.ENGINE.requirements, *engine.ENGINE.pinned]
    assert not any("qmcpy" in package for package in packages)
    (first, second) = engine.ENGINE.commands()
    assert "--no-deps" not in first
    assert "--no-deps" in second


def test_product_is_numpys_prod_for_the_engines_modules():
    engine.load()
    from libsigopt.compute import probabilistic_failures
    from sigoptlite import validators

    for module in (probabilistic_failures, validators):
        assert module.numpy.product([2, 3]) == 6
        assert module.numpy.array is np.array


def test_the_halton_sequence_is_the_randomised_one_of_qmcpy():
    """In one dimension: the van der Corput sequence in base 2, its digits shifted at random."""
    points = quasirandom.Halton(dimension=1, generalize=True, randomize=True, seed=3).gen_samples(
        n_min=1, n_max=9
    )[:, 0]
    plain = qmc.Halton(1, scramble=False).random(9)[1:, 0]
    flips = {
        tuple(np.floor(points * 2**bits).astype(int) ^ np.floor(plain * 2**bits).astype(int))
        for bits in (1, 2, 3)
    }
    assert all(len(set(flip)) == 1 for flip in flips)


def test_a_sequence_goes_on_where_it_is_asked_to():
    whole = quasirandom.Halton(dimension=2, seed=5).gen_samples(n_min=0, n_max=8)
    part = quasirandom.Halton(dimension=2, seed=5).gen_samples(n_min=4, n_max=8)
    assert whole.shape == (8, 2)
    assert np.array_equal(whole[4:], part)


def test_a_sequence_without_a_seed_is_repeatable_in_a_seeded_search():
    with seeded(1):
        once = quasirandom.Halton(dimension=1, seed=None).gen_samples(n_min=1, n_max=5)
    with seeded(1):
        again = quasirandom.Halton(dimension=1, seed=None).gen_samples(n_min=1, n_max=5)
    assert np.array_equal(once, again)


def test_two_metrics_draw_their_weights_from_the_halton_sequence(monkeypatch):
    drawn = []
    gen_samples = quasirandom.Halton.gen_samples

    def remembered(self, n_min, n_max):
        drawn.append((n_min, n_max))
        return gen_samples(self, n_min, n_max)

    monkeypatch.setattr(quasirandom.Halton, "gen_samples", remembered)

    def front():
        return hpsearch.search(
            lambda trial: (trial["x"], 1 - trial["x"]),
            {"x": Float(0, 1)},
            backend="sigopt",
            direction=["minimize", "minimize"],
            n_trials=9,
            observation_budget=20,
            seed=1,
            progress=False,
        )

    trials = [dict(trial) for trial in front().trials]
    assert set(drawn) == {(1, 102)}
    assert [dict(trial) for trial in front().trials] == trials


def test_the_users_random_state_is_as_it_was():
    legacy = np.random.get_state
    before = repr(legacy())
    with seeded(1):
        assert repr(legacy()) != before
    assert repr(legacy()) == before


def test_two_searches_at_a_time_do_not_share_their_random_state():
    def search(seed, kept):
        study = hpsearch.search(
            lambda trial: trial["x"],
            {"x": Float(0, 1), "k": Int(0, 9)},
            backend="sigopt",
            type="random",
            n_trials=30,
            seed=seed,
            progress=False,
        )
        kept[seed] = [dict(trial) for trial in study.trials]

    alone: dict[int, object] = {}
    together: dict[int, object] = {}
    for seed in (1, 2):
        search(seed, alone)
    threads = [threading.Thread(target=search, args=(seed, together)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone
