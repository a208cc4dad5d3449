"""Every way of writing a space, on every backend: it runs as it was meant, or names what cannot.

The table in ``docs/spaces.md`` is what these tests found: each cell is a real search. After a
change, ``HPSEARCH_WRITE_TABLES=1 pytest tests/test_dialects_everywhere.py`` writes it anew.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, Native, Space, when
from hpsearch.errors import HpsearchError
from hpsearch.space import dialects

PAGE = Path(__file__).resolve().parent.parent / "docs" / "spaces.md"
BACKENDS = ("optuna", "sigopt", "ray", "wandb", "random", "grid")
BEGIN, END = "<!-- what runs where: begin -->", "<!-- end -->"


@dataclass(frozen=True)
class Case:
    """One thing that a dialect can say.

    Attributes:
        dialect: Whose way of writing it is.
        says: What it says, for the table.
        write: Returns the space as a user of the dialect writes it.
        means: The portable space of the same meaning, None where only its own engine has it.
        names: The parameter that a refusal must name.
    """

    dialect: str
    says: str
    write: Callable[[], Any]
    means: Space | None
    names: str = "x"


@dataclass(frozen=True)
class Parameter:
    """One parameter in all ways of writing it."""

    means: Any
    optuna: Callable[[Any, str], Any]
    sigopt: dict[str, Any]
    ray: Callable[[], Any]
    wandb: dict[str, Any]


def everywhere(says: str, *parameters: Parameter) -> list[Case]:
    """Return the same parameters, called x, y and so on, in all five ways of writing."""
    named = dict(zip("xyz", parameters, strict=False))
    means = Space({name: parameter.means for name, parameter in named.items()})
    sweep = {"method": "random", "parameters": {n: p.wandb for n, p in named.items()}}
    spaces: dict[str, Callable[[], Any]] = {
        "portable": lambda: means,
        "optuna": lambda: lambda trial: {n: p.optuna(trial, n) for n, p in named.items()},
        "sigopt": lambda: lambda trial: [{"name": n, **p.sigopt} for n, p in named.items()],
        "ray": lambda: lambda trial: {n: p.ray() for n, p in named.items()},
        "wandb": lambda: lambda trial: sweep,
    }
    return [Case(dialect, says, write, means) for dialect, write in spaces.items()]


def tune(name: str, *arguments: Any) -> Callable[[], Any]:
    """Return what makes one of Ray's domains, without importing Ray yet."""

    def domain() -> Any:
        from ray import tune as module

        return getattr(module, name)(*arguments)

    return domain


def steps(trial: Any) -> dict[str, Any]:
    return {
        "x": trial.suggest_float("x", 0, 1, step=0.25),
        "y": trial.suggest_int("y", 1, 64, log=True),
    }


def branches(trial: Any) -> dict[str, Any]:
    kind = trial.suggest_categorical("kind", ["flat", "deep"])
    return {"kind": kind} | ({"x": trial.suggest_int("x", 2, 5)} if kind == "deep" else {})


STEPS = Space({"x": Float(0, 1, step=0.25), "y": Int(1, 64, log=True)})
BRANCHES = Space({"kind": Categorical(["flat", "deep"]), "x": Int(2, 5)}, {"x": when(kind="deep")})
NESTED = Space({"net.x": Int(1, 4), "net.y": Float(0, 1)}, groups=["net"])
PRIOR = {"name": "normal", "mean": 0.0, "scale": 1.0}

CASES = [
    *everywhere(
        "floats, on a log scale too",
        Parameter(
            Float(1e-6, 1e-2, log=True),
            lambda trial, name: trial.suggest_float(name, 1e-6, 1e-2, log=True),
            {"type": "double", "bounds": {"min": 1e-6, "max": 1e-2}, "transformation": "log"},
            tune("loguniform", 1e-6, 1e-2),
            {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-2},
        ),
        Parameter(
            Float(-2, 3),
            lambda trial, name: trial.suggest_float(name, -2, 3),
            {"type": "double", "bounds": {"min": -2.0, "max": 3.0}},
            tune("uniform", -2.0, 3.0),
            {"min": -2.0, "max": 3.0},
        ),
    ),
    *everywhere(
        "ints and choices",
        Parameter(
            Int(1, 4),
            lambda trial, name: trial.suggest_int(name, 1, 4),
            {"type": "int", "bounds": {"min": 1, "max": 4}},
            tune("randint", 1, 5),
            {"min": 1, "max": 4},
        ),
        Parameter(
            Categorical(["16", "32", "64"]),
            lambda trial, name: trial.suggest_categorical(name, ["16", "32", "64"]),
            {"type": "categorical", "categorical_values": ["16", "32", "64"]},
            tune("choice", ["16", "32", "64"]),
            {"values": ["16", "32", "64"]},
        ),
    ),
    Case("portable", "steps, ints on a log scale", lambda: STEPS, STEPS),
    Case("optuna", "steps, ints on a log scale", lambda: steps, STEPS),
    Case(
        "sigopt",
        "a grid",
        lambda: [{"name": "x", "type": "double", "grid": [0.0, 0.25, 0.5, 0.75, 1.0]}],
        Space({"x": Float(0, 1, step=0.25)}),
    ),
    Case("portable", "a condition", lambda: BRANCHES, BRANCHES),
    Case("optuna", "branches", lambda: branches, BRANCHES),
    Case(
        "ray",
        "nested parameters",
        lambda: {"net": {"x": tune("randint", 1, 5)(), "y": tune("uniform", 0.0, 1.0)()}},
        NESTED,
        "net.y",
    ),
    Case(
        "wandb",
        "nested parameters",
        lambda: {
            "method": "random",
            "parameters": {
                "net": {"parameters": {"x": {"min": 1, "max": 4}, "y": {"min": 0.0, "max": 1.0}}}
            },
        },
        NESTED,
        "net.y",
    ),
    Case(
        "sigopt",
        "a prior",
        lambda: [
            {"name": "x", "type": "double", "bounds": {"min": -1.0, "max": 1.0}, "prior": PRIOR}
        ],
        None,
    ),
    Case("ray", "a normal distribution", lambda: {"x": tune("randn", 0.0, 1.0)()}, None),
    Case(
        "wandb",
        "a normal distribution",
        lambda: {
            "method": "random",
            "parameters": {"x": {"distribution": "normal", "mu": 0.0, "sigma": 1.0}},
        },
        None,
    ),
    Case(
        "wandb",
        "choices with probabilities",
        lambda: {
            "method": "random",
            "parameters": {"x": {"values": [1, 2], "probabilities": [0.9, 0.1]}},
        },
        None,
    ),
]

found: dict[tuple[str, str, str], bool] = {}


pytestmark = pytest.mark.usefixtures("ray_running", "engines_at_rest")


def number(trial: Any) -> float:
    """Return a number that depends on every value, in the words of every engine."""
    values = [trial[name] for name in trial.params]
    assert values == [trial.assignments[name] for name in trial.params]
    assert values == [trial.config[name] for name in trial.params]
    if "net" in trial:
        assert trial["net"] == {"x": trial["net.x"], "y": trial["net.y"]}
    return math.fsum(value if isinstance(value, int | float) else len(value) for value in values)


def searched(case: Case, backend: str) -> tuple[Any, HpsearchError | None]:
    """Return the study of a small search, or why there is none."""
    its_own: dict[str, dict[str, Any]] = {"wandb": {"method": "random"}, "ray": {"n_workers": 1}}
    options = {"n_trials": 3, "seed": 1, "progress": False, **its_own.get(backend, {})}
    try:
        return hpsearch.search(number, case.write(), backend=backend, **options), None
    except HpsearchError as error:
        return None, error


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.dialect}: {case.says}")
def test_a_space_runs_as_it_was_meant_or_the_error_names_what_cannot(case, backend):
    study, error = searched(case, backend)
    found[case.dialect, case.says, backend] = error is None
    if error is not None:
        assert case.names in re.findall(r"'([^']*)'", str(error)), error
        assert not getattr(error, "study", None), "it was refused after a trial had started"
        return
    assert len(study.trials) == 3
    assert all(trial.state == "complete" for trial in study.trials)
    space = study.space if case.means is None else case.means
    if case.means is None:
        assert isinstance(study.space.parameters["x"], Native)
        assert study.space.parameters["x"].dialect == case.dialect == backend
    for trial in study.trials:
        assert space.validate(dict(trial.params)) == trial.params


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.means is not None and case.dialect != "portable"],
    ids=lambda case: f"{case.dialect}: {case.says}",
)
def test_a_space_that_is_read_has_the_same_bounds_scale_and_types(case):
    assert dialects.read_source(case.write(), define_by_run=False).space == case.means


def test_what_runs_where_is_what_the_page_says():
    if len(found) < len(CASES) * len(BACKENDS):
        pytest.skip("only some of the cells were tried")
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    written, _, tail = rest.partition(END)
    if os.environ.get("HPSEARCH_WRITE_TABLES"):
        PAGE.write_text(f"{head}{BEGIN}\n{table()}{END}{tail}")
    else:
        assert written.strip() == table().strip()


def table() -> str:
    """Return what was found as a Markdown table."""
    lines = [f"| written for | it says | {' | '.join(BACKENDS)} |", "|---|---|" + "---|" * 6]
    for case in CASES:
        cells = ["runs" if found[case.dialect, case.says, name] else "-" for name in BACKENDS]
        lines.append(f"| {case.dialect} | {case.says} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
