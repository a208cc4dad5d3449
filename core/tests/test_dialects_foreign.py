"""Dialects of third parties: a broken one is named where it is needed, and hurts nobody else."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import hpsearch
from hpsearch import Float, Int
from hpsearch.cli import main
from hpsearch.errors import ArgumentError, BackendError, SpaceError
from hpsearch.plugins import registry
from hpsearch.space import dialects
from hpsearch.testing.distributions import fake_distribution, importable

SOUND = """
from hpsearch import Float, Space

class Example:
    name = "example"

    def recognises(self, native):
        return isinstance(native, str) and native.startswith("example:")

    def read(self, native):
        return Space({"x": Float(0, float(native.removeprefix("example:")))})

    def extra_settings(self, native):
        return ["mood"] if native.endswith("1.0") else []

    def goals(self, native):
        return ["maximize"] if native.endswith("1.0") else None

    def metrics(self, native):
        return ["loss"] if native.endswith("1.0") else None

    def thresholds(self, native, directions):
        return []

    def write(self, space):
        return "example:1.0"
"""

NO_TEXT = """
class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")
"""

METHODS = ["recognises", "read", "extra_settings", "goals", "metrics", "thresholds", "write"]

RAISED = {
    "KeyError('x')": "KeyError: 'x'",
    "SystemExit(3)": "SystemExit: 3",
    "NoText()": r"NoText \(its str\(\) raised RuntimeError\)",
}


def raising(method, error):
    """Return the source of a dialect whose method raises."""
    return f"{SOUND}{NO_TEXT}\ndef fail(self, *_): raise {error}\nExample.{method} = fail\n"


def lacking(*names):
    """Return the source of a dialect without some of what it needs."""
    return SOUND + "".join(f"\ndel Example.{name}" for name in names)


@pytest.fixture
def install(tmp_path):
    with importable(tmp_path):

        def add(source, entry="aaa"):
            points = {dialects.ENTRY_POINT_GROUP: {entry: "aaa_example:Example"}}
            fake_distribution(tmp_path, "aaa-example", "3.1", points, {"aaa_example": source})
            registry._scanned.clear()

        yield add
    registry._scanned.clear()


def search(space, **options):
    options = {"backend": "random", "n_trials": 2, "seed": 1, "progress": False, **options}
    return hpsearch.search(lambda trial: trial["x"], space, **options)


SWEEP = {"method": "random", "parameters": {"x": {"min": 1, "max": 4}}}
SIGOPT = [{"name": "x", "type": "int", "bounds": {"min": 1, "max": 4}}]


def suggests(trial):
    trial.suggest_int("x", 1, 4)


def test_a_dialect_of_a_third_party_is_read_and_what_it_says_counts(install, caplog):
    install(SOUND)
    study = search("example:1.0")
    assert study.space.parameters == {"x": Float(0, 1.0)}
    assert study.directions == ("maximize",)
    assert "the space also has 'mood', which backend 'random'" in caplog.text
    with pytest.raises(ArgumentError, match="direction is minimize, and the space says maximize"):
        search("example:1.0", direction="minimize")
    assert dialects.write(study.space, "aaa") == "example:1.0"


BROKEN = {
    "exits at its import": ("raise SystemExit(3)", "SystemExit: 3"),
    "raises at its import": ("import no_such_engine", "ModuleNotFoundError"),
    "cannot be made": (
        SOUND.replace('"example"\n', '"example"\n    def __init__(self, x): ...'),
        "TypeE",
    ),
    "is no dialect": ("class Example: ...", "does not have 'name', 'recognises', 'read'"),
    "was written for 0.1.0": (
        lacking("goals", "extra_settings", "metrics", "thresholds"),
        "does not have 'extra_settings', 'goals', 'metrics', 'thresholds', which every dialect",
    ),
    **{
        f"raises {error} when it looks": (raising("recognises", error), message)
        for error, message in RAISED.items()
    },
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("space", [{"x": Int(1, 4)}, suggests, SWEEP, SIGOPT, lambda trial: SWEEP])
def test_a_broken_dialect_hurts_no_search_in_another(install, case, space):
    install(BROKEN[case][0])
    assert len(search(space).trials) == 2
    assert len(search(space, backend="grid", n_trials=None).trials) == 4


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_dialect_is_named_where_nobody_knows_the_space(install, case):
    source, message = BROKEN[case]
    install(source)
    with pytest.raises(SpaceError, match=f"Dialect 'aaa' is broken: .*{message}"):
        search("example:0.5")


@pytest.mark.parametrize("error", RAISED)
@pytest.mark.parametrize("method", ["read", "extra_settings", "goals", "metrics", "thresholds"])
def test_a_dialect_that_fails_over_a_space_is_named_with_it(install, method, error):
    install(raising(method, error))
    said = f"dialect 'example' cannot read 'example:0.5', in {method}: {RAISED[error]}"
    with pytest.raises(SpaceError, match=said):
        search("example:0.5")
    assert len(search(SWEEP).trials) == 2


@pytest.mark.parametrize("error", RAISED)
def test_a_dialect_that_fails_to_write_is_named(install, error):
    install(raising("write", error))
    space = hpsearch.Space({"x": Int(1, 4)})
    with pytest.raises(SpaceError, match=f"dialect 'example' cannot write .*{RAISED[error]}"):
        dialects.write(space, "aaa")


def test_an_error_that_a_dialect_means_for_the_user_passes_unchanged(install):
    install(
        SOUND.replace(
            "return Space",
            "from hpsearch.errors import SpaceError\n"
            "        raise SpaceError('parameter x is odd')\n        return Space",
        )
    )
    with pytest.raises(SpaceError, match="^parameter x is odd$"):
        search("example:0.5")


@pytest.mark.parametrize("read", ["None", "{'x': Float(0, 1)}", "3"])
def test_a_dialect_that_reads_something_else_than_a_space_is_named(install, read):
    install(SOUND.replace("return Space({", f"return {read}\n        return Space({{"))
    with pytest.raises(SpaceError, match="dialect 'example' read 'example:0.5' as .* a Space"):
        search("example:0.5")


@pytest.mark.parametrize("goals", ["['max']", "'up'", "[]", "3"])
def test_a_goal_that_is_no_direction_is_refused(install, goals):
    install(SOUND.replace("else None", f"else {goals}"))
    with pytest.raises(ArgumentError, match="the goal of the space"):
        search("example:0.5")


@pytest.mark.parametrize(
    ("thresholds", "problem"),
    [
        ("3", "3, expected a list of Threshold"),
        ("[3]", r"\[3\], expected a list of Threshold"),
        ("[Threshold('loss', 1.0, True, objective=1)]", "the study has 1 objectives"),
        ("[Threshold('loss', float('nan'), True)]", "expected a name, a finite number"),
        ("[Threshold('loss', 1.0, True)] * 2", "one metric is there twice"),
    ],
)
def test_thresholds_that_are_none_are_refused_with_the_dialect_named(install, thresholds, problem):
    source = SOUND.replace("return []\n\n    def write", f"return {thresholds}\n\n    def write")
    install(f"from hpsearch.space.thresholds import Threshold\n{source}")
    with pytest.raises(BackendError, match=f"the dialect of the space, .*{problem}"):
        search("example:0.5")


@pytest.mark.parametrize("metrics", ["3", "'loss'", "[3]", "['']"])
def test_metrics_that_are_no_names_are_refused_with_the_dialect_named(install, metrics):
    install(SOUND.replace('["loss"] if native.endswith("1.0") else None', metrics))
    with pytest.raises(BackendError, match="the dialect of the space, .* names the metrics"):
        search("example:0.5")


def test_ctrl_c_while_a_dialect_looks_is_ctrl_c(install):
    install(raising("recognises", "KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        search("example:0.5")


def test_doctor_finds_a_dialect_that_lacks_a_method(install):
    install(BROKEN["was written for 0.1.0"][0])
    result = CliRunner().invoke(main, ["doctor", "--json"])
    (found,) = [p for p in json.loads(result.stdout)["plugins"] if p["name"] == "aaa"]
    assert result.exit_code == 1
    assert "does not have 'extra_settings', 'goals', 'metrics', 'thresholds'" in found["problem"]
