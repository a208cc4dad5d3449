"""Ray's broker: what is asked twice is answered once, and what fails there ends the search."""

from __future__ import annotations

import logging
import secrets
import threading
import time

import pytest

import hpsearch
from hpsearch.errors import BackendError
from hpsearch_ray import broker
from hpsearch_ray.driver import Driver


@pytest.fixture
def name(ray_running):
    return f"test-{secrets.token_hex(4)}"


def echo(trial, message):
    return {"request": message["request"], "result": [trial, message["call"]]}


def refuse(error):
    raise AssertionError(error)


def test_what_is_shared_twice_is_what_was_shared_first(name):
    with broker.serving(name, echo, refuse):
        assert broker.share(name, "t", "key", {"value": 1}) == {"value": 1}
        assert broker.share(name, "t", "key", {"value": 2}) == {"value": 1}
        assert broker.read(name, "t", "key") == {"value": 1}
        assert broker.share(name, "other", "key", {"value": 3}) == {"value": 3}


def test_each_thread_gets_the_reply_to_its_own_request(name):
    replies = {}

    def ask(k):
        message = {"request": k, "call": f"call {k}"}
        replies[k] = broker.ask(name, f"trial {k}", message)

    with broker.serving(name, echo, refuse):
        threads = [threading.Thread(target=ask, args=(k,)) for k in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = {k: {"request": k, "result": [f"trial {k}", f"call {k}"]} for k in range(20)}
    assert replies == expected


def test_an_unexpected_exception_answers_every_trial_with_an_error_and_is_handed_on(name):
    failed = []

    def answer(trial, message):
        raise ZeroDivisionError("in the server")

    with broker.serving(name, answer, failed.append):
        for request in range(2):
            reply = broker.ask(name, "t", {"request": request, "call": "stop"})
            assert reply["request"] == request
            assert reply["error"]["type"] == "hpsearch.errors.BackendError"
            assert "ZeroDivisionError: in the server" in reply["error"]["message"]
    (error,) = failed
    assert isinstance(error, BackendError)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_the_thread_ends_with_the_search_and_one_that_does_not_is_named(name, monkeypatch, caplog):
    def servers():
        return [t for t in threading.enumerate() if t.name == "hpsearch broker"]

    with broker.serving(name, echo, refuse):
        assert len(servers()) == 1
    assert not servers()

    monkeypatch.setattr(broker, "_PATIENCE", 0.1)
    goes_on = threading.Event()

    def stuck(trial, message):
        goes_on.wait(60)
        return echo(trial, message)

    with broker.serving(f"{name}-2", stuck, refuse):
        asking = threading.Thread(target=_ask_in_vain, args=(f"{name}-2",))
        asking.start()
        time.sleep(1)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "'hpsearch broker' did not end in 0.1 s" in caplog.text
    goes_on.set()
    asking.join(30)
    for thread in servers():
        thread.join(30)
    assert not servers()


def _ask_in_vain(name):
    with pytest.raises(Exception, match="died|actor"):
        broker.ask(name, "t", {"request": 1, "call": "stop"})


def test_a_server_that_fails_ends_the_search_with_its_error(results, monkeypatch):
    def asked(self, name, message):
        raise ZeroDivisionError("in the driver")

    monkeypatch.setattr(Driver, "asked", asked)
    started = time.monotonic()
    with pytest.raises(BackendError, match="ZeroDivisionError: in the driver"):
        hpsearch.search(
            lambda trial: trial.suggest_float("x", 0, 1),
            backend="random",
            n_trials=50,
            executor="ray",
            n_workers=2,
            storage_path=results,
            max_failures=float("inf"),
            progress=False,
        )
    assert time.monotonic() - started < 60
