"""A log-uniform parameter is drawn log-uniformly by the random method of every backend."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

import hpsearch
from hpsearch import Float

LOW, HIGH = 1e-6, 1e-1
DRAWS = 120

# The Kolmogorov-Smirnov distance that so many draws of the right distribution exceed once in a
# thousand times, by the usual approximation sqrt(-ln(p / 2) / 2n).
FAR = math.sqrt(-math.log(0.001 / 2) / (2 * DRAWS))


def random_sampler():
    from optuna.samplers import RandomSampler

    return {"sampler": RandomSampler(seed=3)}


BACKENDS = {
    "random": dict,
    "optuna": random_sampler,
    "ray": dict,
    "wandb": lambda: {"method": "random"},
}


def distance(draws):
    """Return how far the draws are from log-uniform: the largest gap of the distributions."""
    places = sorted(math.log(draw / LOW) / math.log(HIGH / LOW) for draw in draws)
    steps = [index / len(places) for index in range(len(places) + 1)]
    return max(
        max(abs(place - low), abs(place - high))
        for place, (low, high) in zip(places, pairwise(steps), strict=True)
    )


@pytest.mark.usefixtures("ray_running", "engines_at_rest")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_log_uniform_space_is_drawn_log_uniformly(backend):
    study = hpsearch.search(
        lambda trial: trial["lr"],
        {"lr": Float(LOW, HIGH, log=True)},
        backend=backend,
        n_trials=DRAWS,
        seed=3,
        progress=False,
        **BACKENDS[backend](),
    )
    draws = [trial["lr"] for trial in study.trials]
    assert len(set(draws)) == DRAWS
    assert distance(draws) < FAR


def test_the_distance_tells_a_uniform_draw_from_a_log_uniform_one():
    uniform = [LOW + (HIGH - LOW) * (index + 0.5) / DRAWS for index in range(DRAWS)]
    assert distance(uniform) > 3 * FAR
