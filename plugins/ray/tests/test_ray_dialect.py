"""Ray's search spaces: read exactly, written back, refused by name; reading imports no Ray."""

from __future__ import annotations

import math
import sys
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from ray import tune

import hpsearch
from hpsearch import Categorical, Float, Int
from hpsearch.errors import CapabilityError, SpaceError
from hpsearch.space import dialects
from hpsearch.space.distributions import Native
from hpsearch.space.space import Space, when
from hpsearch_ray.dialect import RayDialect
from hpsearch_ray.points import config_of, domain_of, drawn_of, nearest, params_of, value_of

DIALECT = RayDialect()


@pytest.mark.parametrize(
    ("domain", "portable"),
    [
        (tune.uniform(-1, 2.5), Float(-1, 2.5)),
        (tune.loguniform(1e-6, 1e-4), Float(1e-6, 1e-4, log=True)),
        (tune.quniform(0, 10, 2.5), Float(0, 10, step=2.5)),
        (tune.randint(3, 17), Int(3, 16)),
        (tune.lograndint(1, 1025), Int(1, 1024, log=True)),
        (tune.qrandint(1, 20, 3), Int(3, 18, step=3)),
        (tune.qrandint(1, 20, 1), Int(1, 19)),
        (tune.choice([16, 32, "x", None, True]), Categorical([16, 32, "x", None, True])),
        (tune.grid_search([1, 2]), Categorical([1, 2])),
        (0.01, Categorical([0.01])),
    ],
)
def test_a_domain_is_read_with_its_bounds_scale_and_type(domain: Any, portable: Any) -> None:
    space = DIALECT.read({"other": tune.uniform(0, 1), "x": domain})
    assert space.parameters["x"] == portable


@pytest.mark.parametrize(
    ("domain", "type_", "support"),
    [
        (tune.randn(1, 2), "randn", Float(-sys.float_info.max, sys.float_info.max)),
        (tune.qrandn(1, 2, 0.5), "qrandn", Float(-sys.float_info.max, sys.float_info.max)),
        (tune.qloguniform(0.5, 8, 0.5), "qloguniform", Float(0.5, 8, step=0.5)),
        (tune.qlograndint(3, 20, 4), "qlograndint", Int(4, 20, step=4)),
    ],
)
def test_what_only_ray_can_draw_runs_on_ray_and_is_refused_elsewhere(
    domain: Any, type_: str, support: Any
) -> None:
    native = DIALECT.read({"x": domain}).parameters["x"]
    assert isinstance(native, Native)
    assert (native.definition["type"], native.support) == (type_, support)
    with pytest.raises(CapabilityError, match=rf"'x'.*{type_}.*'ray'"):
        hpsearch.search(lambda trial: trial["x"], {"x": domain}, backend="random")


def test_what_only_ray_can_draw_is_written_back_as_it_was() -> None:
    written = DIALECT.write(DIALECT.read({"x": tune.qlograndint(3, 20, 4)}))["x"]
    assert (written.lower, written.upper, written.get_sampler().q) == (3, 20, 4)
    assert str(written.get_sampler().get_sampler()) == "LogUniform"


def test_nested_dicts_are_groups_of_parameters() -> None:
    native = {"lr": tune.uniform(0, 1), "model": {"width": tune.choice([8, 16]), "deep": {"n": 3}}}
    space = DIALECT.read(native)
    assert list(space.parameters) == ["lr", "model.width", "model.deep.n"]
    assert space.groups == ("model", "model.deep")
    config = config_of(space, {"lr": 0.5, "model.width": 8, "model.deep.n": 3})
    assert config == {"lr": 0.5, "model": {"width": 8, "deep": {"n": 3}}}
    assert params_of(space, config) == {"lr": 0.5, "model.width": 8, "model.deep.n": 3}


@pytest.mark.parametrize(
    ("native", "named"),
    [
        ({"n": tune.sample_from(lambda config: 3)}, "'n'.*sample_from"),
        ({"layers": [64, 64]}, r"'layers'.*\[64, 64\]"),
        ({"act": tune.choice([[1], [2]])}, r"'act'.*\[1\] \(list\)"),
        ({"m": {"a.b": tune.uniform(0, 1)}}, "group 'm'"),
        ({"m": {"a": 1}, "m.b": 2}, "'m.b'.*group"),
        ({1: tune.uniform(0, 1)}, "name 1"),
        ({"n": tune.randint(5, 5)}, "'n'.*low 5 is above high 4"),
    ],
)
def test_what_cannot_be_carried_over_is_named(native: dict[Any, Any], named: str) -> None:
    with pytest.raises(SpaceError, match=named):
        DIALECT.read({"x": tune.uniform(0, 1), **native})


@pytest.mark.parametrize(
    "other",
    [{}, {"lr": 0.1}, [1], "x", None, {"parameters": {"x": {"min": 0, "max": 1}}}],
)
def test_other_objects_are_not_taken_for_rays(other: object) -> None:
    assert not DIALECT.recognises(other)


@pytest.mark.parametrize("native", [{"x": tune.uniform(0, 1)}, {"m": {"x": tune.grid_search([1])}}])
def test_a_dict_with_a_domain_in_it_is_rays(native: dict[str, Any]) -> None:
    assert DIALECT.recognises(native)
    dialect = dialects.recognise(native)
    assert dialect is not None
    assert dialect.name == "ray"


def test_a_grid_is_named_to_other_backends() -> None:
    assert DIALECT.extra_settings({"m": {"x": tune.grid_search([1])}}) == ("grid_search",)
    assert DIALECT.extra_settings({"m": {"x": tune.choice([1])}}) == ()


def test_reading_imports_no_ray(programs) -> None:
    code = (
        "import sys; from hpsearch_ray.dialect import RayDialect as Dialect; "
        "print(Dialect().recognises({'x': 1}), Dialect().read({'x': 1}), 'ray' in sys.modules)"
    )
    answer = programs.run(sys.executable, "-c", code)
    assert answer.stdout.split()[0] == "False", answer.stderr
    assert answer.stdout.split()[-1] == "False"


def test_conditions_and_odd_steps_cannot_be_written() -> None:
    conditional = Space({"a": Int(0, 1), "b": Int(0, 1)}, {"b": when(a=1)})
    with pytest.raises(SpaceError, match="'b' has a condition"):
        DIALECT.write(conditional)
    with pytest.raises(SpaceError, match="'n'.*counts steps from 0"):
        DIALECT.write(Space({"n": Int(2, 20, step=3)}))


FLOATS = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: round(value, 6))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), FLOATS, st.text(max_size=5))


@st.composite
def distributions(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(["float", "log", "step", "int", "intlog", "intstep", "choice"]))
    low, width = draw(st.integers(-50, 50)), draw(st.integers(1, 50))
    match kind:
        case "float":
            return Float(*sorted((draw(FLOATS), draw(FLOATS))))
        case "log":
            return Float(10.0**-width, 10.0 ** draw(st.integers(0, 5)), log=True)
        case "step":
            step = draw(st.sampled_from([0.1, 0.25, 1.0, 2.5]))
            return Float(low * step, low * step + width * step, step=step)
        case "int":
            return Int(low, low + width)
        case "intlog":
            return Int(abs(low) + 1, abs(low) + width, log=True)
        case "intstep":
            return Int(low * 3, low * 3 + width * 3, step=3)
    choices = draw(st.lists(SCALARS, min_size=1, max_size=5, unique_by=lambda v: (v == v, v)))
    return Categorical(choices)


NAMES = st.text("abcdefgh_-/ ", min_size=1, max_size=6)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    flat = draw(st.dictionaries(NAMES, distributions(), min_size=1, max_size=4))
    grouped = draw(st.dictionaries(NAMES, distributions(), max_size=3))
    if not grouped or "group" in flat:
        return Space(flat)
    return Space({**flat, **{f"group.{n}": d for n, d in grouped.items()}}, {}, ["group"])


@given(spaces())
def test_a_space_that_is_written_reads_back_as_itself(space: Space) -> None:
    assert DIALECT.read(DIALECT.write(space)) == space


@given(distributions(), st.integers(0, 2**32 - 1))
def test_what_ray_draws_is_a_value_of_the_parameter(distribution: Any, seed: int) -> None:
    drawn = domain_of("x", distribution).sample(random_state=seed)
    value = value_of(distribution, drawn)
    assert distribution.validate(value) == value
    assert value_of(distribution, drawn_of(distribution, value)) == value


@given(distributions(), st.floats(-1e9, 1e9))
def test_a_number_that_a_scheduler_made_up_becomes_the_nearest_value(
    distribution: Any, number: float
) -> None:
    if isinstance(distribution, Categorical):
        return
    value = nearest(distribution, number)
    assert distribution.validate(value) == value
    step = distribution.step or 0
    if distribution.low <= number <= distribution.high:
        assert abs(value - number) <= step / 2 + 1e-6


def test_the_nearest_choice_is_the_nearest_number() -> None:
    sizes = Categorical([16, 32, 64])
    assert nearest(sizes, 38.4) == 32
    assert nearest(Categorical(["a", "b"]), 3.0) == 3.0
    assert nearest(Categorical([True, False]), True) is True


def test_rays_log_scale_is_log_uniform() -> None:
    domain = domain_of("x", Float(1e-6, 1e-2, log=True))
    draws = [math.log10(domain.sample(random_state=seed)) for seed in range(400)]
    quarters = [sum(-6 + k <= d < -5 + k for d in draws) for k in range(4)]
    assert all(70 <= count <= 130 for count in quarters), quarters
