"""Sending an evaluation to another process, or saying which part of it cannot go there."""

from __future__ import annotations

import inspect
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ArgumentError, HpsearchError, described

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate


def dump_evaluation(evaluate: Evaluate, pickler: Any) -> bytes:
    """Return an evaluation as bytes, for ``pickle.loads``.

    What it has of the classes and functions of ``__main__`` is found in the ``__main__`` of the
    other process too. So instances can be pickled there, as a Trainer pickles its arguments into
    each checkpoint.

    An objective that is more than a function may name its parts for the error below, by a method
    ``parts()`` that returns them by name, such as ``{"the Trainer's compute_metrics": ...}``. Its
    ``travelling()``, if it has one, is a context in which it is pickled.

    Args:
        evaluate: What runs the trials.
        pickler: The class that pickles by value, closures and what ``__main__`` defines included:
            cloudpickle's ``Pickler``.

    Raises:
        ArgumentError: Naming each part that cannot be pickled, and why.
    """
    dumps = partial(_dumps, _noting(pickler))
    with getattr(evaluate.objective, "travelling", nullcontext)():
        try:
            return dumps(evaluate)
        except HpsearchError:
            raise
        except Exception as error:
            parts = list(_culprits(_parts(evaluate), dumps)) or [
                f"the objective ({described(error)})"
            ]
            raise ArgumentError(
                "trials run in other processes here, and this cannot go there: "
                f"{'; '.join(parts)}. Create it inside the function that uses it"
            ) from error


def _noting(pickler: Any) -> Any:
    """Return a pickler that notes what of ``__main__`` it has met, by name."""

    class Noting(pickler):  # type: ignore[misc]
        def __init__(self, file: io.BytesIO) -> None:
            super().__init__(file)
            self.noted: dict[str, Any] = {}

        def reducer_override(self, part: Any) -> Any:
            if isinstance(part, type | FunctionType) and _is_found_in_main(part):
                self.noted[part.__name__] = part
            return super().reducer_override(part)

    return Noting


def _is_found_in_main(part: type | FunctionType) -> bool:
    is_there = part.__module__ == "__main__"
    return is_there and getattr(sys.modules["__main__"], part.__name__, None) is part


def _dumps(noting: Any, part: object) -> bytes:
    """Pickle an object, and after it what was noted meanwhile; it is loaded as itself."""
    with io.BytesIO() as file:
        pickler = noting(file)
        pickler.dump(_Arriving(part, pickler.noted))
        return file.getvalue()


class _Arriving:
    """An object on its way, with what of ``__main__`` is on its way in it."""

    def __init__(self, part: object, of_main: dict[str, Any]) -> None:
        self._part = part
        self._of_main = of_main

    def __reduce__(self) -> Any:
        return _arrived, (self._part, self._of_main)  # in this order: the first fills the second


def _arrived(part: object, of_main: Mapping[str, Any]) -> object:
    """Put what came along where pickle looks for it; what this process has there stays."""
    main = sys.modules["__main__"]
    for name, found in of_main.items():
        # An earlier search in this process may have brought one of the same name.
        if getattr(getattr(main, name, found), "__module__", None) == "__main__":
            setattr(main, name, found)
    return part


def _parts(evaluate: Evaluate) -> Mapping[str, Any]:
    named: Callable[[], Mapping[str, Any]] | None = getattr(evaluate.objective, "parts", None)
    parts = {"the objective": evaluate.objective} if named is None else named()
    return {**parts, "the space function": evaluate.space_function}


def _culprits(parts: Mapping[str, Any], dumps: Callable[[Any], bytes]) -> Iterator[str]:
    for name, part in parts.items():
        error = _error(part, dumps)
        if error is None:
            continue
        held = [
            f"{name} uses {variable!r}, {described(problem)}"
            for variable, value in _variables(part)
            if (problem := _error(value, dumps)) is not None
        ]
        yield from held or [f"{name} ({described(error)})"]


def _error(part: object, dumps: Callable[[Any], bytes]) -> Exception | None:
    try:
        dumps(part)
    except Exception as error:  # noqa: BLE001 - whatever pickling it raises is the answer
        return error
    return None


def _variables(part: object) -> list[tuple[str, Any]]:
    """Return what a function takes from around it, or an object's attributes."""
    if inspect.isfunction(part):
        found = inspect.getclosurevars(part)
        return [*found.nonlocals.items(), *found.globals.items()]
    return list(getattr(part, "__dict__", {}).items())
