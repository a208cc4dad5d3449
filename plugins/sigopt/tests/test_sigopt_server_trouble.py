"""Servers that are not there, refuse, talk nonsense or die: one clear error, and nothing lost."""

from __future__ import annotations

import base64
import json
import logging
import socket
import traceback
from collections.abc import Mapping
from typing import Any

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.errors import BackendError, HpsearchError, OptionError
from hpsearch.report import write as write_report
from hpsearch_sigopt import server as client_side
from plugins.sigopt.tests.sigopt_server.server import SigOptServer

SPACE = {"x": Float(0.0, 1.0)}


@pytest.fixture
def options(server: SigOptServer) -> Mapping[str, Any]:
    return {
        "backend": "sigopt",
        "api_url": server.url,
        "api_token": server.token,
        "project": "huggingface",
        "progress": False,
    }


def never(trial):
    pytest.fail("a trial began")


def refusal(**options: Any) -> HpsearchError:
    """Return the error of a search that must end before its first trial."""
    with pytest.raises(HpsearchError) as raised:
        hpsearch.search(never, SPACE, n_trials=4, **options)
    assert "\n" not in str(raised.value)
    return raised.value


# Before the first trial.


def test_a_refused_connection_names_the_server_and_the_reason(server, options):
    server.stop()
    error = refusal(**options)
    assert isinstance(error, BackendError)
    assert f"the SigOpt server at {server.url} cannot be reached" in str(error)
    assert "Connection refused" in str(error)
    assert "api_url=" in str(error)


@pytest.mark.parametrize("url", ["http://no.such.host.invalid", "127.0.0.1:80", "ftp://127.0.0.1"])
def test_a_url_that_leads_nowhere_is_named(options, url):
    assert url in str(refusal(**{**options, "api_url": url}))


def test_a_server_that_never_answers_is_given_up(monkeypatch, options):
    monkeypatch.setattr(client_side, "HANDSHAKE_TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "timed out" in str(refusal(**{**options, "api_url": url}))


def test_a_server_that_is_too_busy_is_given_up(monkeypatch, server, options):
    monkeypatch.setattr(client_side, "HANDSHAKE_TIMEOUT", 0.2)
    with server.broken(429, '{"message": "slow down"}'):
        assert "answered 429" in str(refusal(**options))


def test_a_wrong_token_is_an_option_error(options):
    error = refusal(**{**options, "api_token": "of-somebody-else"})
    assert isinstance(error, OptionError)
    assert "answered 403" in str(error)
    assert "api_token=" in str(error)
    assert "of-somebody-else" not in str(error)


def test_a_missing_token_is_an_option_error(options, monkeypatch):
    from sigopt.config import config

    monkeypatch.setattr(config, "_configuration", {})
    error = refusal(**{**options, "api_token": None})
    assert isinstance(error, OptionError)
    assert "SIGOPT_API_TOKEN" in str(error)


@pytest.mark.parametrize("runs", [False, True])
def test_a_project_that_does_not_exist_is_named_with_the_nearest(server, options, runs):
    error = refusal(**{**options, "project": "hugingface", "runs": runs})
    assert isinstance(error, OptionError)
    assert "no project 'hugingface'" in str(error)
    assert "Did you mean 'huggingface'?" in str(error)
    assert not server.experiments


def test_a_project_of_the_environment_is_looked_for_too(options, monkeypatch):
    monkeypatch.setenv("SIGOPT_PROJECT", "elsewhere")
    error = refusal(**{**options, "project": None, "runs": True})
    assert "no project 'elsewhere'" in str(error)
    assert "it has 'huggingface'" in str(error)


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("identifier", ["17", "nonsense"])
def test_an_unknown_experiment_is_an_option_error(options, runs, identifier):
    error = refusal(**options, runs=runs, experiment_id=identifier)
    assert isinstance(error, OptionError)
    assert f"experiment {identifier}" in str(error)
    assert "experiment_id=" in str(error)


def test_an_unknown_client_is_an_option_error(options):
    error = refusal(**options, client_id="99")
    assert isinstance(error, OptionError)
    assert "client_id=" in str(error)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (200, "<html>Welcome</html>"),
        (200, "[]"),
        (200, "{}"),
        (200, "null"),
        (200, '{"object": "token"}'),
        (204, ""),
        (302, ""),
        (500, "[]"),
        (500, '{"message": "out of memory"}'),
        (502, "<html>Bad gateway" + "!" * 10_000),
    ],
)
def test_a_server_that_talks_nonsense_is_named(server, options, status, text):
    with server.broken(status, text):
        error = refusal(**options)
    assert server.url in str(error)
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    ("runs", "path"),
    [
        (False, "experiments"),
        (False, "suggestions"),
        (True, "aiexperiments"),
        (True, "training_runs"),
    ],
)
@pytest.mark.parametrize("nothing", [{}, [], None])
def test_an_answer_without_what_was_asked_for_is_nonsense(
    monkeypatch, server, options, runs, path, nothing
):
    answer = server.service.answer

    def forgetful(method, parts, body):
        return nothing if (method, parts[-1]) == ("POST", path) else answer(method, parts, body)

    monkeypatch.setattr(server.service, "answer", forgetful)
    assert "does not answer as SigOpt's API does" in str(refusal(**options, runs=runs))


def test_what_the_server_refuses_of_the_experiment_is_passed_on(options):
    error = refusal(**options, metrics=[{"name": "objective", "threshold": 1.0}])
    assert "Thresholds are only supported" in str(error)


# In mid-search.


@pytest.mark.parametrize("runs", [False, True], ids=["suggestions", "runs"])
@pytest.mark.parametrize("mishap", ["dies", "breaks"])
def test_a_server_that_fails_in_mid_search_loses_no_trial(server, options, tmp_path, runs, mishap):
    def failing(trial):
        if trial.number == 2:
            if mishap == "dies":
                server.stop()
            else:
                server.mishap = (503, b"restarting")
        return trial["x"]

    kept = {"storage": tmp_path / "study.db", "n_trials": 5, "runs": runs, **options}
    with pytest.raises(BackendError, match="resume=True") as raised:
        hpsearch.search(failing, SPACE, **kept)
    assert raised.value.__cause__ is None
    server.mishap = None
    if mishap == "dies":
        server.start()
    study = hpsearch.search(lambda trial: trial["x"], SPACE, resume=True, **kept)
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]
    (experiment,) = server.experiments
    values = [item["values"][0]["value"] for item in experiment.observations.values()]
    assert values == [trial.objective for trial in study.trials]
    assert all(item["suggestion"] for item in experiment.observations.values())


def test_a_server_that_forgot_the_experiment_gets_a_new_one(server, options, tmp_path, caplog):
    kept = {"storage": tmp_path / "study.db", **options}
    hpsearch.search(lambda trial: trial["x"], SPACE, n_trials=3, **kept)
    server.service.experiments.clear()
    study = hpsearch.search(lambda trial: trial["x"], SPACE, n_trials=5, resume=True, **kept)
    (experiment,) = server.experiments
    assert "goes on in a new experiment" in caplog.text
    assert len(experiment.observations) == 5
    assert study.native.id == str(experiment.id)


def test_a_search_that_ended_well_stands_without_the_server(server, options, caplog):
    def last(trial):
        return trial["x"]

    class Gone:
        @hpsearch.hookimpl
        def hpsearch_tell(self, study, trial):
            if trial.number == 2:
                server.stop()

    study = hpsearch.search(last, SPACE, n_trials=3, plugins=[Gone()], **options)
    assert len(study.trials) == 3
    assert study.best.run_summary is not None
    assert "cannot be reached" in caplog.text


# The token.


@pytest.mark.parametrize("runs", [False, True], ids=["suggestions", "runs"])
def test_the_token_is_written_nowhere(server, options, tmp_path, caplog, capsys, monkeypatch, runs):
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    wrong = "token-of-somebody-else"
    kept = {"storage": tmp_path / "study.db", "runs": runs, **options}

    def failing(trial):
        if trial.number == 1:
            raise ValueError("of the objective")
        return trial["x"]

    study = hpsearch.search(
        failing, SPACE, n_trials=3, max_failures=3, **{**kept, "progress": True}
    )
    told += [repr(study), repr(study.options), study.to_json(), study.table(), repr(study.best)]
    echo = json.dumps({"message": f"who is {server.token}? {_encoded(server.token)}"})
    errors = [refusal(**{**kept, "api_token": wrong, "resume": True})]
    for status in (401, 500):
        with server.broken(status, echo):
            errors.append(refusal(**kept, resume=True))
    server.stop()
    errors.append(refusal(**kept, resume=True))
    told += ["".join(traceback.format_exception(error)) for error in errors]
    write_report(study, tmp_path / "report.html")
    shown = capsys.readouterr()
    told += [caplog.text, shown.out, shown.err]
    written = [path.read_bytes().decode("latin-1") for path in tmp_path.iterdir()]
    assert len(written) >= 2
    for secret in (server.token, wrong):
        for text in (*told, *written):
            assert secret not in text
            assert _encoded(secret) not in text


def test_a_password_in_the_url_is_not_repeated(server, options, tmp_path, caplog):
    url = server.url.replace("http://", "http://user:hunter2@")
    kept = {**options, "api_url": url, "storage": tmp_path / "study.db"}
    hpsearch.search(lambda trial: trial["x"], SPACE, n_trials=1, **kept)
    server.stop()
    error = refusal(**{**kept, "resume": True})
    assert server.url in str(error)
    for text in (str(error), caplog.text, (tmp_path / "study.db").read_bytes().decode("latin-1")):
        assert "hunter2" not in text


def _encoded(token: str) -> str:
    """Return the token as HTTP sends it."""
    return base64.b64encode(f"{token}:".encode()).decode()
