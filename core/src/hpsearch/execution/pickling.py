"""Sending an evaluation to another process, or saying which part of it cannot go there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ArgumentError, HpsearchError, described

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate


def dump_evaluation(evaluate: Evaluate, dumps: Callable[[Any], bytes]) -> bytes:
    """Return an evaluation as bytes.

    An objective that is more than a function may name its parts for the error below, by a method
    ``parts()`` that returns them by name, such as ``{"the Trainer's compute_metrics": ...}``. Its
    ``travelling()``, if it has one, is a context in which it is pickled.

    Args:
        evaluate: What runs the trials.
        dumps: Pickles an object by value, closures and what ``__main__`` defines included, as
            cloudpickle does.

    Raises:
        ArgumentError: Naming each part that cannot be pickled, and why.
    """
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
