"""What an author sets, and what every test of the contract uses."""

from __future__ import annotations

import inspect
import textwrap
import traceback
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

import pytest

from hpsearch.errors import HpsearchError
from hpsearch.execution.evaluate import Objective
from hpsearch.plugins import registry
from hpsearch.plugins.backend import Capabilities
from hpsearch.plugins.registry import Plugin
from hpsearch.session import api
from hpsearch.space.distributions import Distribution, Float
from hpsearch.study.study import Study
from hpsearch.testing.observer import Recorder


class Contract:
    """The settings of a conformance test, and its ways to search and to complain.

    Attributes:
        backend: The name of the backend to test; the one attribute that must be set.
        options: Options for every search.
        space: A small space that the backend can search, for all that needs no special one.
        n_trials: Trials of a search; fewer than 8 show little.
        refuses: The kinds of parameter (names in ``hpsearch.testing.contract.space.KINDS``) that
            the backend refuses with a ``SpaceError`` though no capability speaks of them.
        bad_options: Option to a value that the backend must refuse.
        pruning_options: Further options for the searches in which a trial must be pruned.
        may_import: Packages that importing the backend's module may import, apart from the standard
            library, hpsearch and the backend's own.
    """

    backend: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Any]] = {}
    space: ClassVar[Mapping[str, Distribution]] = {"x": Float(0.0, 1.0), "y": Float(-5.0, 5.0)}
    n_trials: ClassVar[int] = 12
    refuses: ClassVar[frozenset[str]] = frozenset()
    bad_options: ClassVar[Mapping[str, Any]] = {}
    pruning_options: ClassVar[Mapping[str, Any]] = {}
    may_import: ClassVar[frozenset[str]] = frozenset()

    @pytest.fixture(autouse=True)
    def _read_promise(self, request: pytest.FixtureRequest) -> None:
        self._promise = inspect.cleandoc(request.function.__doc__ or request.function.__name__)

    @property
    def plugin(self) -> Plugin:
        """The backend's entry point."""
        if not self.backend:
            pytest.fail(f"set {type(self).__name__}.backend = 'name'", pytrace=False)
        return registry.find(self.backend)

    @property
    def capabilities(self) -> Capabilities:
        """What the backend declares, with these options."""
        cls = self.plugin.load()
        return cls.capabilities_for(registry.read_options(self.plugin, cls, dict(self.options)))

    def search(self, objective: Objective, space: Any, **arguments: Any) -> Study:
        """Run a search that must work."""
        study, error = self._search(objective, space, arguments)
        if study is None:
            self.violated(f"the search {_raised(error)}")
        return study

    def refused(
        self,
        error_type: type[HpsearchError],
        objective: Objective,
        space: Any,
        *,
        naming: tuple[str, ...] = (),
        **arguments: Any,
    ) -> None:
        """Run a search that must be refused before its first trial.

        Args:
            error_type: The error expected.
            objective: The search's objective.
            space: Its space.
            naming: What the error's message must have in it.
            **arguments: Further arguments of the search.
        """
        recorder = Recorder()
        _, error = self._search(objective, space, {**arguments, "plugins": [recorder]})
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        search = f"the search with {given}" if given else f"the search of {space!r}"
        if not isinstance(error, error_type):
            happened = _raised(error) if error else "ran to its end"
            self.violated(f"expected {error_type.__name__}, but {search} {happened}")
        self.expect(
            not recorder.started,
            f"{search} was refused after {len(recorder.started)} trials had started",
        )
        unnamed = [text for text in naming if text not in str(error)]
        self.expect(not unnamed, f"the error does not say {' and '.join(unnamed)}: {error}")

    def expect(self, holds: bool, otherwise: str) -> None:
        """Fail, saying what happened, unless something holds."""
        if not holds:
            self.violated(otherwise)

    def violated(self, happened: str) -> NoReturn:
        """Fail with what the contract says and what happened."""
        pytest.fail(
            f"{self.plugin} breaks the contract of a backend.\n\n"
            f"The contract says:\n{_indented(self._promise)}\n\n"
            f"What happened:\n{_indented(happened)}",
            pytrace=False,
        )

    def skip_unless(self, capability: str) -> None:
        """Skip the test of a backend that does not declare a capability."""
        if not getattr(self.capabilities, capability):
            pytest.skip(f"{self.plugin} does not declare {capability!r}")

    def skip_loop_owner(self) -> None:
        """Skip the test of a backend that runs the trials itself."""
        if self.capabilities.owns_loop:
            pytest.skip(f"{self.plugin} runs the trials itself")

    def _search(
        self, objective: Objective, space: Any, arguments: Mapping[str, Any]
    ) -> tuple[Study | None, HpsearchError | None]:
        defaults = {"n_trials": self.n_trials, "seed": 0, "progress": False, **self.options}
        options: dict[str, Any] = {**defaults, **arguments}
        try:
            return api.search(objective, space, backend=self.plugin.name, **options), None
        except HpsearchError as error:
            return None, error


def _raised(error: HpsearchError | None) -> str:
    text = f"raised {type(error).__name__}: {error}"
    cause = error.__cause__ if error else None
    if cause is None or isinstance(cause, HpsearchError):
        return text
    return f"{text}\n\n{''.join(traceback.format_exception(cause))}"


def _indented(text: str) -> str:
    return textwrap.indent(text.rstrip(), "    ")
