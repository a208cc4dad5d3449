"""What functions and classes use around them: closures, globals, attributes of classes.

These belong to the user: a trial may change them. What learns or draws random numbers is put back,
and the rest is only watched.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from operator import length_hint
from pathlib import Path
from sysconfig import get_paths
from types import CodeType, FunctionType, GeneratorType, ModuleType, SimpleNamespace
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from transformers import Trainer

Variable: TypeAlias = tuple[str, Callable[[], Any]]
"""How a reader finds a variable, and what returns its value."""

_INSTALLED: Final = (
    *(get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    str(Path(__file__).parents[1]),
)
_SAMPLE: Final = 16
_DEPTH: Final = 3
_SCALARS: Final = (str, bytes, bool, int, float, complex, type(None), np.generic)


class Watch:
    """Something that may change, remembered by a fingerprint that costs little.

    Args:
        path: How a reader finds it.
        read: Returns it as it is now.
    """

    __slots__ = ("_before", "_read", "path")

    def __init__(self, path: str, read: Callable[[], Any]) -> None:
        self.path = path
        self._read = read
        self._before = _fingerprint(read())

    def has_changed(self) -> bool:
        """Whether its fingerprint is another one now."""
        return bool(_fingerprint(self._read()) != self._before)


def used_by(user: type | FunctionType) -> Iterator[Variable]:
    """Yield what a function uses around it, or what a class and its methods do.

    Code of installed packages is taken to keep nothing there.
    """
    if isinstance(user, FunctionType):
        yield from _used_by_function(user)
        return
    for cls in user.__mro__:
        if not _is_users_class(cls):
            continue
        for name, value in list(vars(cls).items()):
            function = getattr(value, "__func__", value)
            if isinstance(function, FunctionType):
                yield from _used_by_function(function)
            elif not name.startswith("_abc_") and not name.startswith("__"):
                path = f"{name!r} of the class {_name(cls)}"
                yield path, lambda cls=cls, name=name: vars(cls).get(name)  # type: ignore[misc]


def _used_by_function(function: FunctionType) -> Iterator[Variable]:
    code, around, own = function.__code__, function.__globals__, vars(function)
    if not _is_users_file(code.co_filename):
        return
    user = _name(function)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        if name != "__class__":
            yield f"{name!r}, which {user} uses", lambda cell=cell: _contents(cell)  # type: ignore[misc]
    names = list(_global_names(code))
    for name in names:
        if isinstance(around.get(name), ModuleType):
            yield from _used_of_module(around[name], names, user)
        elif name in around:
            yield f"{name!r}, which {user} uses", lambda name=name: around.get(name)  # type: ignore[misc]
    for name in own:
        yield f"{name!r} of {user}", lambda name=name: own.get(name)  # type: ignore[misc]
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield f"a default value of {user}", lambda value=value: value  # type: ignore[misc]


def _used_of_module(module: ModuleType, names: list[str], user: str) -> Iterator[Variable]:
    """Yield the variables of a user's module that a function may use, which names them."""
    if not _is_users_file(getattr(module, "__file__", None) or _INSTALLED[0]):
        return
    own = vars(module)
    for name in names:
        if name in own and not isinstance(own[name], ModuleType):
            path = f"{name!r} of the module {module.__name__}, which {user} uses"
            yield path, lambda name=name: own.get(name)  # type: ignore[misc]


def _name(user: type | FunctionType) -> str:
    return user.__qualname__.rpartition("<locals>.")[2]


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing has been assigned to the variable yet
        return None


def _global_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def _is_users_class(cls: type) -> bool:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    return cls.__module__ != "builtins" and _is_users_file(file)


def _is_users_file(name: str) -> bool:
    return not name.startswith(_INSTALLED)


def _fingerprint(value: Any, depth: int = _DEPTH) -> Any:
    """Return what is compared to see whether something has changed, from a sample of it."""
    if isinstance(value, _SCALARS):
        return type(value), repr(value) if isinstance(value, float) else hash(value)
    return id(value), *_of_contents(value, depth)


def _of_contents(value: Any, depth: int) -> tuple[Any, ...]:
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.shape, _of_numbers(value)
    if isinstance(value, list | tuple | deque | dict | set | frozenset):
        # The pairs of a dictionary are made for whoever looks, each time with another id.
        items = chain.from_iterable(value.items()) if isinstance(value, dict) else value
        sample = islice(items, _SAMPLE if depth else 0)
        return len(value), [_fingerprint(item, depth - 1) for item in sample]
    if isinstance(value, GeneratorType):
        frame = value.gi_frame
        return () if frame is None else (frame.f_lasti, _fingerprint(dict(frame.f_locals), 1)[1:])
    if isinstance(value, Iterator):
        return length_hint(value, -1), repr(value)
    own = getattr(value, "__dict__", None)
    if not (depth and isinstance(own, dict) and _is_users(value)):
        return ()
    return (_fingerprint(own, depth - 1),)


def _is_users(value: Any) -> bool:
    """Whether an object may hold what its user counts or collects."""
    if isinstance(value, Trainer | FunctionType | type):
        return False
    return isinstance(value, SimpleNamespace | Namespace) or _is_users_class(type(value))


def _of_numbers(array: Any) -> object:
    if isinstance(array, torch.Tensor):
        return None if array.is_inference() else array._version
    if array.dtype.hasobject or not array.size:
        return None
    places = np.linspace(0, array.size - 1, _SAMPLE * 4).astype(np.intp)
    sample: bytes = array[np.unravel_index(places, array.shape)].tobytes()
    return sample
