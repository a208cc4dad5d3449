"""Engines that pip cannot resolve: what is missing is said, and one command installs it."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

import pytest
from click.testing import CliRunner

import hpsearch.cli
from hpsearch.errors import BackendError
from hpsearch.plugins.installers import Engine
from hpsearch.testing.distributions import fake_distribution, importable

PRESENT = f"pluggy=={version('pluggy')}"
PLUGIN = """
import random

from hpsearch import Backend, Capabilities, hookimpl
from hpsearch.plugins.installers import Engine

class Needy(Backend):
    api_version = 1
    capabilities = Capabilities()
    engine = Engine("needy", ("pluggy>=1",), ("no-such-engine==1.2",))

    @hookimpl
    def hpsearch_suggest(self, study, trial):
        return study.space.sample(random.Random(trial.seed))
"""


def run(*arguments):
    return CliRunner().invoke(hpsearch.cli.main, arguments)


def test_an_engine_knows_what_of_it_is_missing():
    assert Engine("x", (), (PRESENT,)).missing() == []
    assert Engine("x", (), (PRESENT, "pluggy==0.0.1")).missing() == ["pluggy==0.0.1"]
    assert Engine("x", (), ("no-such-engine==1.2",)).missing() == ["no-such-engine==1.2"]


def test_a_missing_engine_is_an_error_that_says_what_to_run():
    Engine("x", (), (PRESENT,)).require()
    with pytest.raises(BackendError, match=r"no-such-engine==1\.2\. Run: hpsearch install x"):
        Engine("x", (), ("no-such-engine==1.2",)).require()


@pytest.fixture
def needy(tmp_path):
    targets = {"hpsearch.backends": {"needy": "hpsearch_needy:Needy"}}
    fake_distribution(tmp_path, "hpsearch-needy", "1.0", targets, {"hpsearch_needy": PLUGIN})
    with importable(tmp_path):
        yield


def test_the_command_says_what_it_would_run(needy):
    shown = run("install", "needy", "--dry-run")
    assert shown.exit_code == 0
    assert shown.output.splitlines() == [
        f"{sys.executable} -P -m pip install 'pluggy>=1'",
        f"{sys.executable} -P -m pip install --no-deps no-such-engine==1.2",
    ]


def test_doctor_advises_the_command_and_finds_no_fault(needy):
    result = run("doctor", "--json")
    (found,) = [p for p in json.loads(result.stdout)["plugins"] if p["name"] == "needy"]
    assert found["problem"] is None
    assert found["advice"] == "'hpsearch install needy' adds no-such-engine==1.2"
    assert found["advice"] in run("doctor").output


def test_a_backend_that_needs_nothing_more_says_so():
    shown = run("install", "random")
    assert shown.exit_code == 2
    assert "needs nothing more" in shown.output


def test_an_installed_engine_is_left_alone(needy, monkeypatch):
    monkeypatch.setattr("hpsearch.plugins.installers._installed", lambda package: True)
    shown = run("install", "needy")
    assert shown.exit_code == 0
    assert "'no-such-engine==1.2' are installed already" in shown.output
