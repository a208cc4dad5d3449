"""What an online search is refused for, before its first trial; and that no key is ever shown."""

from __future__ import annotations

import logging
import socket

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.errors import BackendError, CapabilityError, HpsearchError, OptionError, SpaceError

pytestmark = [
    # wandb leaves the file with a run's parameters to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def refused(error: type[HpsearchError], message: str, **options) -> HpsearchError:
    with pytest.raises(error, match=message) as caught:
        hpsearch.search(
            lambda trial: pytest.fail("a trial ran"),
            backend="wandb",
            n_trials=1,
            **{"mode": "online", "space": {"x": Float(0, 1)}, **options},
        )
    return caught.value


@pytest.fixture
def impatient(monkeypatch):
    """W&B waits five seconds for an answer."""
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "5")


def test_a_server_that_is_not_there_is_named(server, impatient):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody else's then, and nobody listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        said = f"the W&B server {url} cannot be used: it does not answer"
        refused(BackendError, said, base_url=url)


def test_a_server_that_never_answers_is_given_up(server, impatient):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        refused(BackendError, "it does not answer", base_url=url)


def test_a_wrong_key_is_refused(server):
    key = "w" * 40
    error = refused(BackendError, "it refuses the key", api_key=key)
    assert key not in f"{error!r} {error.__cause__!r}"


def test_a_key_that_is_none_is_refused(server):
    error = refused(BackendError, "40", api_key="secret")
    assert "secret" not in f"{error!r} {error.__cause__!r}"


def test_online_needs_a_key(server, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY")
    refused(OptionError, "no API key for http://127.0.0.1.* was found. Run 'wandb login'")


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_the_environment_must_not_say_otherwise(server, monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    refused(OptionError, f"mode='online' is asked for, and WANDB_MODE is '{mode}'")


def test_an_entity_that_does_not_exist_is_named(server):
    refused(BackendError, "entity 'nobody'.*entity nobody was not found", entity="nobody")


def test_a_project_that_the_server_will_not_create_is_named(server):
    server.creates_projects = False
    refused(BackendError, "project 'other'.*team/other was not found", project="other")


def test_a_name_that_wandb_has_not_is_refused(server):
    space = {"learning rate": Float(0, 1)}
    refused(SpaceError, "parameter 'learning rate': W&B takes names", space=space)
    assert not server.sweeps


def test_several_directions_are_refused(server):
    refused(CapabilityError, "one direction", direction=["minimize", "maximize"])


def test_the_key_is_shown_and_kept_nowhere(server, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    server.key = key = "SECRET" * 7

    def objective(trial):
        if trial.number == 0:
            raise ValueError("bad")
        return trial["x"]

    study = hpsearch.search(
        objective,
        {"x": Float(0, 1)},
        backend="wandb",
        mode="online",
        api_key=key,
        n_trials=2,
        max_failures=1,
        storage=tmp_path / "study.db",
    )
    study.to_json(tmp_path / "study.json")
    shown = "".join(capfd.readouterr()) + caplog.text + repr(study) + repr(study.options)
    assert key not in shown
    assert study.trials[0].error is not None
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not [path for path in written if key.encode() in path.read_bytes()]
