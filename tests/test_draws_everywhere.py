"""Any portable space on every backend: what is searched lies in it, type and all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when
from hpsearch.errors import CapabilityError, SpaceError

NAMES = st.text("abcdefgh_- ", min_size=1, max_size=6).filter(lambda name: name == name.strip())
BOUNDS = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: round(value, 4))
CHOICES = st.one_of(
    st.none(), st.booleans(), st.integers(-99, 99), BOUNDS, st.text(max_size=5, alphabet="abc0.")
)


@st.composite
def distributions(draw):
    kind = draw(st.sampled_from(["float", "log", "step", "int", "int log", "int step", "choice"]))
    low, width = draw(st.integers(-50, 50)), draw(st.integers(1, 50))
    match kind:
        case "float":
            return Float(*sorted((draw(BOUNDS), draw(BOUNDS))))
        case "log":
            return Float(10.0 ** -(width % 9), 10.0 ** draw(st.integers(0, 5)), log=True)
        case "step":
            step = draw(st.sampled_from([0.1, 0.25, 1.0, 2.5]))
            return Float(low * step, (low + width) * step, step=step)
        case "int":
            return Int(low, low + width)
        case "int log":
            return Int(abs(low) + 1, abs(low) + width, log=True)
        case "int step":
            return Int(low * 3, (low + width) * 3, step=3)
    return Categorical(
        draw(st.lists(CHOICES, min_size=1, max_size=5, unique_by=lambda v: (v == v, v)))
    )


@st.composite
def spaces(draw):
    parameters = draw(st.dictionaries(NAMES, distributions(), min_size=1, max_size=4))
    conditions = {}
    if draw(st.booleans()):
        kinds = draw(st.lists(st.text("xyz", min_size=1), min_size=2, max_size=3, unique=True))
        conditions = {
            name: when(kind=draw(st.sampled_from(kinds)))
            for name in parameters
            if draw(st.booleans())
        }
        parameters = {"kind": Categorical(kinds), **parameters}
    return Space(parameters, conditions)


SEARCHES = {
    "random": (40, {}),
    "optuna": (25, {}),
    "sigopt": (12, {"driver": "lite"}),
    "wandb": (25, {"mode": "disabled", "method": "random"}),
    "wandb bayes": (8, {"mode": "disabled", "method": "bayes"}),
    "ray": (4, {}),
}


@pytest.mark.usefixtures("ray_running", "engines_at_rest")
@pytest.mark.parametrize("search", SEARCHES)
def test_what_is_searched_lies_in_the_space_or_the_parameter_is_named(search):
    examples, options = SEARCHES[search]

    @settings(max_examples=examples, database=None, derandomize=True)
    @given(spaces(), st.integers(0, 2**32 - 1))
    def lies_in(space, seed):
        try:
            study = hpsearch.search(
                lambda trial: float(len(trial)),
                space,
                backend=search.partition(" ")[0],
                n_trials=3,
                seed=seed,
                progress=False,
                **options,
            )
        except (SpaceError, CapabilityError) as error:
            assert any(repr(name) in str(error) for name in space.parameters), error  # noqa: PT017
            return
        for trial in study.trials:
            assert trial.state == "complete", trial.error
            point = space.validate(dict(trial.params))
            assert [(type(value), value) for value in point.values()] == [
                (type(value), value) for value in trial.params.values()
            ]

    lies_in()
