"""The options: what is refused before the first trial, and where a search runs."""

from __future__ import annotations

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.errors import OptionError
from hpsearch_sigopt.backend import SigOptBackend
from hpsearch_sigopt.options import SigOptOptions

SECRET = "s3cr3t-t0k3n"
URL = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("SIGOPT_API_URL", "SIGOPT_API_TOKEN", "SIGOPT_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def test_without_options_sigopt_runs_in_this_process():
    assert not SigOptOptions().on_server
    assert SigOptBackend.capabilities_for(SigOptOptions()).max_parallel == 1


@pytest.mark.parametrize(
    "options",
    [
        {"api_url": URL},
        {"api_url": URL, "api_token": SECRET},
        {"driver": "server", "api_url": URL},
    ],
)
def test_a_url_means_a_server(options):
    given = SigOptOptions(**options)
    assert given.on_server
    assert SigOptBackend.capabilities_for(given).max_parallel is None
    assert not SigOptBackend.capabilities_for(given).seeding


def test_the_environment_names_a_server(monkeypatch):
    monkeypatch.setenv("SIGOPT_API_URL", URL)
    assert SigOptOptions().on_server
    assert not SigOptOptions(driver="lite").on_server


def test_a_token_in_the_environment_alone_is_of_the_service_that_has_ended(monkeypatch):
    monkeypatch.setenv("SIGOPT_API_TOKEN", SECRET)
    assert not SigOptOptions().on_server
    with pytest.raises(OptionError, match="SigOpt's own service has ended"):
        SigOptOptions(driver="server")


def test_the_bandwidth_is_how_many_may_be_open():
    options = SigOptOptions(api_url=URL, parallel_bandwidth=4)
    assert SigOptBackend.capabilities_for(options).max_parallel == 4


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"driver": "http"}, "driver is 'http', expected 'lite' or 'server'"),
        ({"type": "grid"}, "backend='grid'"),
        ({"compute_mode": "kde"}, "expected 'default' or 'kde_only'"),
        ({"compute_mode": "kde_only", "api_url": URL}, "compute_mode is for driver='lite'"),
        ({"api_token": SECRET}, "api_url is missing"),
        ({"api_token": 5, "api_url": URL}, "api_token is int, expected a text"),
        ({"project": "mine"}, "'project' needs a server"),
        ({"experiment_id": 7, "runs": True}, "'experiment_id', 'runs' need a server"),
        ({"runs": True, "api_url": URL}, "runs=True needs project="),
        ({"runs": 1, "api_url": URL}, "runs is 1, expected True or False"),
        ({"driver": "lite", "api_url": URL}, "'api_url' needs a server"),
        ({"parallel_bandwidth": 2}, "parallel_bandwidth is 2; .* one suggestion open at a time"),
        ({"observation_budget": 0}, "observation_budget is 0"),
        ({"num_solutions": 2}, "compute_mode='kde_only'"),
        ({"metrics": "loss"}, "metrics is 'loss', expected a list"),
        ({"linear_constraints": {"type": "less_than"}}, "linear_constraints is .* expected a list"),
        (
            {"proxies": "http://me:pass@proxy", "api_url": URL},
            "proxies is str, expected URLs by scheme",
        ),
    ],
)
def test_what_cannot_be_is_refused(options, problem):
    with pytest.raises(OptionError, match=problem) as caught:
        hpsearch.search(lambda trial: 1.0, {"x": Float(0, 1)}, backend="sigopt", **options)
    assert SECRET not in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_the_token_is_not_shown():
    options = SigOptOptions(api_url=URL, api_token=SECRET, proxies={"http": SECRET})
    assert SECRET not in repr(options)
    assert SECRET not in str(options)
