"""Every hook is on the page for plugin authors with its exact signature, and is called."""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from pathlib import Path

import pytest

import hpsearch
from hpsearch.plugins import hookspecs
from hpsearch.study.control import Control
from hpsearch.testing.contract.base import Contract
from hpsearch.testing.distributions import fake_distribution, importable

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugin-authors.md").read_text(encoding="utf-8")
SPECIFIED = [name for name in vars(hookspecs) if name.startswith("hpsearch_")]

RECORDING = """
    from collections import Counter

    from hpsearch import hookimpl
    from hpsearch.testing.sound import OwnsLoop

    calls = Counter()

    class Recording(OwnsLoop):
        @hookimpl
        def hpsearch_open(self, study):
            calls["hpsearch_open"] += 1

        @hookimpl
        def hpsearch_run(self, study, evaluate):
            calls["hpsearch_run"] += 1
            return super().hpsearch_run(study, evaluate)

        @hookimpl
        def hpsearch_suggest(self, study, trial):
            calls["hpsearch_suggest"] += 1
            return super().hpsearch_suggest(study, trial)

        @hookimpl
        def hpsearch_suggest_parameter(self, study, trial, name, distribution):
            calls["hpsearch_suggest_parameter"] += 1
            return super().hpsearch_suggest_parameter(trial, name, distribution)

        @hookimpl
        def hpsearch_start(self, study, trial):
            calls["hpsearch_start"] += 1

        @hookimpl
        def hpsearch_report(self, study, trial, step, values):
            calls["hpsearch_report"] += 1

        @hookimpl
        def hpsearch_constrain(self, study, trial):
            calls["hpsearch_constrain"] += 1

        @hookimpl
        def hpsearch_amend(self, study, trial):
            calls["hpsearch_amend"] += 1

        @hookimpl
        def hpsearch_tell(self, study, trial):
            calls["hpsearch_tell"] += 1

        @hookimpl
        def hpsearch_best(self, study):
            calls["hpsearch_best"] += 1
            study.history.amend(study.trials[0], {"seen": True})

        @hookimpl
        def hpsearch_close(self, study, error):
            calls["hpsearch_close"] += 1
"""


def parameters(name):
    return list(inspect.signature(getattr(hookspecs, name)).parameters.values())


def test_the_hooks_are_those_that_are_specified():
    assert list(hookspecs.HOOKS) == SPECIFIED


@pytest.mark.parametrize("name", SPECIFIED)
def test_a_hook_is_documented_with_its_exact_signature(name):
    signature = str(inspect.signature(getattr(hookspecs, name))).replace("'", "")
    assert f"\n{name}{signature}\n" in PAGE
    assert re.search(rf"^\| `{name}` \|", PAGE, re.MULTILINE), "it has no row in the table"


@pytest.mark.parametrize("name", SPECIFIED)
def test_a_hook_is_annotated_and_takes_no_keyword_only_argument(name):
    """pluggy silently drops keyword-only parameters."""
    for parameter in parameters(name):
        assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        assert parameter.annotation is not parameter.empty
    assert inspect.signature(getattr(hookspecs, name)).return_annotation


@pytest.mark.parametrize("name", SPECIFIED)
def test_a_hooks_specification_says_when_it_is_called(name):
    assert "Called" in inspect.getdoc(getattr(hookspecs, name))


def test_every_hook_is_called_as_often_as_the_page_says(tmp_path):
    points = {"hpsearch.backends": {"recording": "recording:Recording"}}
    fake_distribution(tmp_path, "hpsearch-recording", "1.0", points, {"recording": RECORDING})

    def objective(trial):
        value = trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)
        trial.report(value, 0)
        trial.report(value, 1)
        return value

    with importable(tmp_path):
        hpsearch.search(objective, backend="recording", n_trials=5, progress=False)
        calls = sys.modules["recording"].calls
    each_trial = ["hpsearch_suggest", "hpsearch_start", "hpsearch_constrain", "hpsearch_tell"]
    asked_or_reported = ["hpsearch_suggest_parameter", "hpsearch_report"]
    once = dict.fromkeys(SPECIFIED, 1)
    assert calls == {**once, **dict.fromkeys(each_trial, 5), **dict.fromkeys(asked_or_reported, 10)}


@pytest.mark.parametrize("name", [name for name in vars(Control) if not name.startswith("_")])
def test_what_a_running_search_offers_is_on_the_page(name):
    assert re.search(rf"^\| `{name}[`(]", PAGE, re.MULTILINE)


def test_pyproject_on_the_page_is_that_of_the_smallest_plugin():
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    file = (ROOT / "examples" / "hpsearch-smallest" / "pyproject.toml").read_text("utf-8")
    assert block in file
    assert tomllib.loads(block)["project"]["entry-points"]


def test_every_setting_of_the_kit_is_on_the_page():
    for name in Contract.__annotations__:
        assert re.search(rf"^\| `{name}` \|", PAGE, re.MULTILINE), name
