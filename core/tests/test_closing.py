"""Every plugin that was opened is closed exactly once, whatever it or another one raises."""

from __future__ import annotations

import importlib

import pytest

import hpsearch
from hpsearch import Backend, Capabilities, Float, hookimpl
from hpsearch.errors import BackendError, SearchFailedError, SearchInterrupted
from hpsearch.plugins import registry
from hpsearch.testing.distributions import fake_distribution, importable

HOOKS = ["open", "start", "report", "tell", "best", "close"]


class Watching:
    """Writes down what it is called for, and raises where it is told to."""

    def __init__(self, name, calls, where=None, error=None):
        self.name, self.calls, self.where, self.error = name, calls, where, error

    def _met(self, hook):
        self.calls.append((hook, self.name))
        if hook == self.where:
            raise self.error

    @hookimpl
    def hpsearch_open(self):
        self._met("open")

    @hookimpl
    def hpsearch_start(self):
        self._met("start")

    @hookimpl
    def hpsearch_report(self):
        self._met("report")

    @hookimpl
    def hpsearch_tell(self):
        self._met("tell")

    @hookimpl
    def hpsearch_best(self):
        self._met("best")

    @hookimpl
    def hpsearch_close(self):
        self._met("close")


class Equal(Watching):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


class Unhashable(Watching):
    def __eq__(self, other):
        return True


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def objective(trial):
    trial.report(1.0, 0)
    return trial["x"]


def search(plugins, function=objective, **options):
    options = {"backend": "random", "n_trials": 3, "seed": 1, "progress": False, **options}
    return hpsearch.search(function, {"x": Float(0, 1)}, plugins=plugins, **options)


def closed(calls):
    return [name for hook, name in calls if hook == "close"]


@pytest.mark.parametrize("error", [OSError("full"), SystemExit(3), NoText(), BackendError("mine")])
@pytest.mark.parametrize("where", HOOKS)
def test_an_observer_that_raises_is_left_out_and_closed_once_like_all_others(where, error):
    calls = []
    plugins = [Watching("a", calls), Watching("b", calls, where, error), Watching("c", calls)]
    study = search(plugins)
    assert study.counts()["complete"] == 3
    assert closed(calls) == ["c", "b", "a"]
    assert [hook for hook, name in calls if name == "a"].count("tell") == 3
    assert [hook for hook, name in calls if name == "b"].count(where) == 1


@pytest.mark.parametrize("where", HOOKS)
def test_ctrl_c_in_any_hook_ends_the_search_and_all_others_close(where):
    calls = []
    broken = Watching("b", calls, where, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        search([Watching("a", calls), broken, Watching("c", calls)])
    opened = [name for hook, name in calls if hook == "open"]
    assert closed(calls) == opened[::-1]


def test_ctrl_c_during_a_close_lets_the_others_close_and_hands_out_the_study():
    calls = []
    plugins = [
        Watching("a", calls),
        Watching("b", calls, "close", KeyboardInterrupt()),
        Watching("c", calls, "close", KeyboardInterrupt()),
        Watching("d", calls, "close", OSError("full")),
    ]
    with pytest.raises(SearchInterrupted, match="interrupted with 3 trials complete") as interrupt:
        search(plugins)
    assert closed(calls) == ["d", "c", "b", "a"]
    assert interrupt.value.study.counts()["complete"] == 3


def test_ctrl_c_during_a_close_is_told_also_after_a_failure():
    calls = []

    def fails(trial):
        raise ValueError

    plugins = [Watching("a", calls), Watching("b", calls, "close", KeyboardInterrupt())]
    with pytest.raises(SearchInterrupted) as interrupt:
        search(plugins, fails)
    assert closed(calls) == ["b", "a"]
    assert interrupt.value.study.counts()["failed"] == 1


@pytest.mark.parametrize("kind", [Equal, Unhashable])
def test_two_equal_observers_are_two(kind):
    calls = []
    search([kind("a", calls), kind("b", calls)], n_trials=1)
    expected = [(hook, name) for hook in HOOKS[:-1] for name in "ab"]
    assert calls == [*expected, ("close", "b"), ("close", "a")]


@pytest.mark.parametrize("kind", [Watching, Equal, Unhashable])
def test_an_observer_given_twice_is_called_twice(kind):
    calls = []
    observer = kind("a", calls)
    search([observer, observer], n_trials=1)
    assert calls == [(hook, "a") for hook in HOOKS for _ in range(2)]


def test_of_two_equal_observers_only_the_one_that_raises_is_left_out():
    calls = []
    search([Equal("a", calls, "start", OSError()), Equal("b", calls)])
    assert [name for hook, name in calls if hook == "tell"] == ["b"] * 3
    assert closed(calls) == ["b", "a"]


# The same of backends.


class Sound(Backend):
    api_version = 1
    calls: list[tuple[str, str]] = []

    @hookimpl
    def hpsearch_open(self):
        self.calls.append(("open", "backend"))

    @hookimpl
    def hpsearch_suggest(self):
        return {"x": 0.5}

    @hookimpl
    def hpsearch_close(self):
        self.calls.append(("close", "backend"))


@pytest.fixture
def offered(tmp_path):
    """Offer a class of this file as the backend ``example``."""
    with importable(tmp_path):

        def offer(cls):
            points = {registry.ENTRY_POINT_GROUP: {"example": "hpsearch_example:Example"}}
            modules = {"hpsearch_example": "class Holder: pass\n"}
            fake_distribution(tmp_path, "hpsearch-example", "3.1", points, modules)
            registry._scanned.clear()
            vars(importlib.import_module("hpsearch_example"))["Example"] = cls

        yield offer
    registry._scanned.clear()


LABEL = r"backend 'example' \(hpsearch-example 3.1\)"


def test_a_backend_that_does_not_open_is_closed_and_nobody_after_it_is_opened(offered, tmp_path):
    calls = []

    class NotOpen(Sound):
        @hookimpl
        def hpsearch_open(self):
            calls.append(("open", "backend"))
            raise OSError("no server")

        @hookimpl
        def hpsearch_close(self, error):
            calls.append(("close", type(error).__name__))

    offered(NotOpen)
    path = tmp_path / "study.db"
    with pytest.raises(BackendError, match=f"{LABEL} failed in hpsearch_open: OSError: no server"):
        search([Watching("observer", calls)], backend="example", storage=path)
    assert calls == [("open", "backend"), ("close", "BackendError")]
    offered_journal = search([], storage=path, resume=True)  # the journal was closed: not locked
    assert offered_journal.counts()["complete"] == 3


def backend_that_raises(hook, error):
    def fail(self):
        raise error

    abilities = {
        "hpsearch_run": Capabilities(owns_loop=True),
        "hpsearch_report": Capabilities(pruning=True),
    }
    attributes = {hook: hookimpl(fail), "capabilities": abilities.get(hook, Capabilities())}
    return type("Raising", (Sound,), attributes)


EVERYWHERE = [
    "hpsearch_open",
    "hpsearch_run",
    "hpsearch_suggest",
    "hpsearch_start",
    "hpsearch_report",
    "hpsearch_constrain",
    "hpsearch_tell",
    "hpsearch_best",
    "hpsearch_close",
]


@pytest.mark.parametrize("error", [SystemExit(3), NoText(), OSError("gone")])
@pytest.mark.parametrize("hook", EVERYWHERE)
def test_a_backend_that_raises_or_exits_in_a_hook_is_named(offered, hook, error):
    calls = []
    offered(backend_that_raises(hook, error))
    said = f"{LABEL} failed in {hook}: {type(error).__name__}"
    with pytest.raises(BackendError, match=said) as caught:
        search([Watching("a", calls)], backend="example")
    assert caught.value.__cause__ is error
    assert closed(calls) == (["a"] if hook != "hpsearch_open" else [])


@pytest.mark.parametrize("hook", EVERYWHERE)
def test_ctrl_c_in_a_backend_stays_ctrl_c(offered, hook):
    calls = []
    offered(backend_that_raises(hook, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        search([Watching("a", calls)], backend="example")
    assert closed(calls) == (["a"] if hook != "hpsearch_open" else [])


@pytest.mark.parametrize("error", [SystemExit(3), NoText(), OSError("gone")])
@pytest.mark.parametrize(
    "method", ["__init__", "capabilities_for", "metrics_for", "thresholds_for"]
)
def test_a_backend_that_raises_or_exits_before_its_first_hook_is_named(offered, method, error):
    def fail(*_):
        raise error

    offered(type("Raising", (Sound,), {method: classmethod(fail) if "for" in method else fail}))
    with pytest.raises(BackendError, match=f"{LABEL} failed .*{type(error).__name__}"):
        search([], backend="example")


@pytest.mark.parametrize("method", ["capabilities_for", "metrics_for", "thresholds_for"])
def test_what_a_backend_says_of_its_options_in_another_form_is_named(offered, method):
    offered(type("Odd", (Sound,), {method: classmethod(lambda *_: "loss")}))
    with pytest.raises(BackendError, match=f"{LABEL} .*'loss'.*, expected"):
        search([], backend="example")


# The end of a space.


class Ends(Sound):
    @hookimpl
    def hpsearch_suggest(self, trial):
        return hpsearch.EXHAUSTED if trial.number == 2 else {"x": 0.5}


class DeclaresTheEnd(Ends):
    capabilities = Capabilities(exhaustible=True)


class AsksForTheEnd(Ends):
    @hookimpl
    def hpsearch_suggest(self, study, trial):
        if trial.number == 2:
            study.history.request_stop("the server said so")
        return super().hpsearch_suggest(trial)


def test_a_backend_that_does_not_declare_an_end_has_none(offered):
    offered(Ends)
    with pytest.raises(BackendError, match=f"{LABEL} answered EXHAUSTED .*'exhaustible'"):
        search([], backend="example")


@pytest.mark.parametrize("cls", [DeclaresTheEnd, AsksForTheEnd])
def test_a_backend_may_end_a_search_as_it_declares_or_where_it_asked_for_a_stop(offered, cls):
    offered(cls)
    study = search([], backend="example")
    assert [trial.number for trial in study.trials] == [0, 1]
    assert study.counts()["complete"] == 2


# One order of calls.


@pytest.mark.parametrize("how", ["tryfirst", "trylast", "hookwrapper", "wrapper"])
def test_a_plugin_that_wants_another_order_is_refused_by_name(offered, how):
    class First(Sound):
        if "wrapper" in how:

            @hookimpl(**{how: True})
            def hpsearch_tell(self):
                yield

        else:

            @hookimpl(**{how: True})
            def hpsearch_tell(self):
                pass

    offered(First)
    with pytest.raises(BackendError, match=f"{LABEL}.*hpsearch_tell"):
        search([], backend="example")
    with pytest.raises(BackendError, match="observer First.*hpsearch_tell"):
        search([First(None)])


def test_a_failure_that_ends_a_search_closes_everyone_once():
    calls = []

    def fails(trial):
        raise ValueError

    with pytest.raises(SearchFailedError):
        search([Watching("a", calls), Watching("b", calls, "tell", OSError())], fails)
    assert closed(calls) == ["b", "a"]
