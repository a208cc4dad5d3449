"""Hooks: the order of answers, who is isolated, and what is refused at registration."""

from __future__ import annotations

import logging

import pluggy
import pytest

import hpsearch
from hpsearch import Float, hookimpl
from hpsearch.errors import BackendError, JournalError
from hpsearch.plugins import hookspecs
from hpsearch.plugins.hooks import Hooks, Role


class Recorder:
    """Writes down its name whenever it is told."""

    def __init__(self, name, calls, answer=None):
        self.name, self.calls, self.answer = name, calls, answer

    @hookimpl
    def hpsearch_open(self, study):
        self.calls.append(("open", self.name))

    @hookimpl
    def hpsearch_report(self, trial):
        self.calls.append(("report", self.name))
        return self.answer

    @hookimpl
    def hpsearch_tell(self, study, trial):
        self.calls.append(("tell", self.name))

    @hookimpl
    def hpsearch_close(self, error):
        self.calls.append(("close", self.name))


class Broken:
    @hookimpl
    def hpsearch_tell(self, trial):
        raise RuntimeError("disk full")


def registered(*members):
    hooks = Hooks()
    for plugin, role, label in members:
        hooks.register(plugin, role, label)
    return hooks


def test_plugins_answer_in_the_order_journal_backend_pruner_observers():
    calls = []
    members = [
        (Recorder("observer 1", calls), Role.OBSERVER, "a"),
        (Recorder("pruner", calls), Role.PRUNER, "b"),
        (Recorder("observer 2", calls), Role.OBSERVER, "c"),
        (Recorder("backend", calls), Role.BACKEND, "d"),
        (Recorder("journal", calls), Role.JOURNAL, "e"),
    ]
    registered(*members).each("hpsearch_tell", study=None, trial=None)
    names = [name for _, name in calls]
    assert names == ["journal", "backend", "pruner", "observer 1", "observer 2"]


def test_every_answer_of_a_report_is_heard():
    hooks = registered(
        (Recorder("backend", [], answer=None), Role.BACKEND, "b"),
        (Recorder("pruner", [], answer=True), Role.PRUNER, "p"),
        (Recorder("observer", [], answer=False), Role.OBSERVER, "o"),
    )
    assert hooks.each("hpsearch_report", study=0, trial=0, step=0, values=()) == [True, False]


def test_an_observer_that_raises_is_reported_once_and_left_out(caplog):
    calls = []
    hooks = registered(
        (Broken(), Role.OBSERVER, "observer Broken"),
        (Recorder("later", calls), Role.OBSERVER, "observer Recorder"),
    )
    for _ in range(3):
        hooks.each("hpsearch_tell", study=None, trial=None)
    assert calls == [("tell", "later")] * 3
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "observer Broken failed in hpsearch_tell" in errors[0].message
    assert "disk full" in caplog.text


@pytest.mark.parametrize("role", [Role.JOURNAL, Role.BACKEND, Role.PRUNER])
def test_a_backend_journal_or_pruner_that_raises_is_named_with_its_hook(role):
    hooks = registered((Broken(), role, "backend 'x' (dist 1.2)"))
    with pytest.raises(
        BackendError, match=r"backend 'x' \(dist 1.2\) failed in hpsearch_tell"
    ) as e:
        hooks.each("hpsearch_tell", study=None, trial=None)
    assert isinstance(e.value.__cause__, RuntimeError)


def test_an_error_meant_for_the_user_passes_unchanged():
    class Careful:
        @hookimpl
        def hpsearch_open(self, study):
            raise JournalError("the file is newer")

    with pytest.raises(JournalError, match="^the file is newer$"):
        registered((Careful(), Role.JOURNAL, "j")).each("hpsearch_open", study=None)


def test_a_misspelt_hook_is_refused_with_the_right_name():
    class Misspelt:
        @hookimpl
        def hpsearch_tel(self, trial):
            pass

    with pytest.raises(
        BackendError, match="'hpsearch_tel' is not a hook. Did you mean 'hpsearch_tell'"
    ):
        registered((Misspelt(), Role.OBSERVER, "observer Misspelt"))


def test_a_wrong_argument_is_refused():
    class Wrong:
        @hookimpl
        def hpsearch_tell(self, trail):
            pass

    with pytest.raises(BackendError, match="observer Wrong does not fit the hooks.*trail"):
        registered((Wrong(), Role.OBSERVER, "observer Wrong"))


def test_keyword_only_arguments_which_pluggy_would_drop_are_refused():
    class KeywordOnly:
        @hookimpl
        def hpsearch_tell(self, *, trial):
            pass

    with pytest.raises(BackendError, match="hpsearch_tell takes trial, expected plain named"):
        registered((KeywordOnly(), Role.OBSERVER, "o"))


def test_a_wrapper_is_refused():
    class Wrapper:
        @hookimpl(wrapper=True)
        def hpsearch_tell(self, trial):
            yield

    with pytest.raises(BackendError, match="hpsearch_tell is a hook wrapper"):
        registered((Wrapper(), Role.OBSERVER, "o"))


def test_a_plugin_without_hooks_is_refused():
    with pytest.raises(
        BackendError, match="implements no hook. Mark methods with @hpsearch.hookimpl"
    ):
        registered((object(), Role.OBSERVER, "o"))


def test_the_specs_are_complete_annotated_and_without_keyword_only_parameters():
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    assert set(manager.hook.__dict__) == set(hookspecs.HOOKS)
    for hook in hookspecs.HOOKS:
        function = getattr(hookspecs, hook)
        code = function.__code__
        assert code.co_kwonlyargcount == 0
        names = set(code.co_varnames[: code.co_argcount])
        assert set(function.__annotations__) == {*names, "return"}
        assert function.__doc__


def test_plugins_close_in_reverse_order_whatever_happens():
    calls = []
    one, two = Recorder("one", calls), Recorder("two", calls)

    def objective(trial):
        raise ValueError("wrong")

    with pytest.raises(hpsearch.SearchFailedError):
        hpsearch.search(
            objective,
            {"x": hpsearch.Float(0, 1)},
            backend="random",
            plugins=[one, two],
            progress=False,
        )
    assert calls == [
        ("open", "one"),
        ("open", "two"),
        ("tell", "one"),
        ("tell", "two"),
        ("close", "two"),
        ("close", "one"),
    ]


def test_a_hook_whose_body_a_call_does_not_run_is_refused():
    class Coroutine:
        @hookimpl
        async def hpsearch_tell(self, trial):
            pass

    class Generator:
        @hookimpl
        def hpsearch_tell(self, trial):
            yield

    for observer in (Coroutine(), Generator()):
        with pytest.raises(BackendError, match="hpsearch_tell is a coroutine or a generator"):
            hpsearch.search(lambda t: 0.0, {"x": Float(0, 1)}, backend="random", plugins=[observer])
