"""The state of whatever objects a trial changes in place: kept before it, put back after it.

Objects are found by following attributes, items and the variables of functions. What is found is
put back in place, so that whoever refers to an object goes on referring to it.
"""

from __future__ import annotations

import copy
import random
import sys
from array import array
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from operator import is_
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset, Sampler
from transformers import GenerationConfig, PretrainedConfig, Trainer, TrainerCallback

from hpsearch.transformers import variables
from hpsearch.transformers.variables import Watch

MOST_BYTES: Final = 2**28
"""How many bytes of tensors and arrays are copied to be put back; what is larger is watched."""

MOST_OBJECTS: Final = 20_000
"""How many objects are looked at, the nearest first, and how many items a container may have."""

_KNOWN: Final[WeakKeyDictionary[Any, dict[int, Collection]]] = WeakKeyDictionary()
"""What users collect in, by the object through which a Trainer reaches it."""

_CONTAINERS: Final = (OrderedDict, dict, list, set, deque)
_LEARNS_OR_DRAWS: Final = (
    *(nn.Module, TrainerCallback, Dataset, Sampler, torch.Generator, random.Random),
    *(np.random.Generator, np.random.RandomState, np.random.BitGenerator),
    *(Optimizer, LRScheduler, PretrainedConfig, GenerationConfig),
)
_OPAQUE: Final = frozenset({"accelerate", "asyncio", "logging", "multiprocessing", "threading"})
_ATOMS: Final = (
    *(str, bytes, int, float, complex, bool, type(None), range, Enum, np.generic),
    *(torch.dtype, torch.device),
)


@dataclass(slots=True, eq=False)
class Collection:
    """A container of a callback that its user holds as well, and may read after a search.

    While a trial runs it is as given. Afterwards it has what all trials have added to it, and so
    nothing that a recorder collects is lost.
    """

    held: Any
    given: list[Any] = field(init=False)
    left: list[Any] = field(init=False)
    collected: list[Any] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.given = self.left = _read(self.held)

    def begin(self, *, is_first: bool = False) -> None:
        """Make it as given; before a search this is what its user has made of it since."""
        if is_first and not _is_same(_read(self.held), self.left):
            self.given = _read(self.held)
        self.collected = _added(self.given, self.held)
        _write(self.held, self.given)

    def end(self, *, is_replay: bool = False) -> None:
        """Give it what was collected in all trials, each of which counts once."""
        added = [] if is_replay else _added(self.given, self.held)
        _write(self.held, [*self.given, *self.collected, *added])
        self.left = _read(self.held)


@dataclass(slots=True, eq=False)
class _Found:
    """An object, how a reader finds it, and what it was found in.

    Attributes:
        lent: Whether a function uses it and nothing that is put back holds it: then it is its
            user's, and only what learns or draws random numbers is put back.
        exact: Whether nobody collects in it: it is data, or a module.
        shared: Whether its user holds it as well.
    """

    path: str
    value: Any
    holder: _Found | None = None
    lent: bool = False
    exact: bool = False
    shared: bool = False


class State:
    """The state of some objects, and of what they hold, as it was when this was made.

    Args:
        parts: The objects by name, the most important first.
        data: Those that only hold data, which come last as they may be large.
        passed_over: Objects that are not looked at.
        collections: Those of the search, which are put back elsewhere.
        is_first: Whether this is its first trial in this process. That one adds to the
            collections, and watches what it does not put back.
    """

    def __init__(
        self,
        parts: Mapping[str, object],
        *,
        data: Mapping[str, object] | None = None,
        passed_over: Iterable[object] = (),
        collections: list[Collection],
        is_first: bool,
    ) -> None:
        self._left = MOST_BYTES
        self._restore: list[Callable[[], None]] = []
        self._watches: list[Watch] | None = [] if is_first else None
        known = {id(collection.held) for collection in collections}
        for found in self._walk(parts, data or {}, passed_over):
            if id(found.value) in known:
                continue
            if is_first and found.shared and isinstance(found.value, _CONTAINERS):
                collections.append(_collection(found))
            else:
                self._keep(found)

    def restore(self) -> None:
        """Put everything back."""
        for restore in self._restore:
            restore()

    def changed(self) -> list[str]:
        """Return, for a reader, what has changed since and is not put back."""
        changed = [watch.path for watch in self._watches or () if watch.has_changed()]
        return list(dict.fromkeys(changed))

    def _walk(
        self,
        parts: Mapping[str, object],
        data: Mapping[str, object],
        passed_over: Iterable[object],
    ) -> list[_Found]:
        """Find what is put back. What functions use comes last: it may be found elsewhere too."""
        probe = [[None]]
        found: dict[int, _Found] = {}
        held: Counter[int] = Counter()
        seen = {id(value): value for value in passed_over}
        own = deque(_Found(path, part) for path, part in {"": probe, **parts}.items())
        own.extend(_Found(path, part, exact=True) for path, part in data.items())
        lent: deque[_Found] = deque()
        while (own or lent) and len(found) < MOST_OBJECTS:
            item = (own or lent).popleft()
            held[id(item.value)] += 1
            if id(item.value) in seen or _is_opaque(item.value):
                continue
            seen[id(item.value)] = item.value
            item.exact = item.exact or isinstance(item.value, nn.Module)
            if not item.lent:
                found[id(item.value)] = item
            for each in self._held_by(item):
                (lent if each.lent else own).append(each)
        own.clear()
        lent.clear()
        del found[id(probe)]
        alone = _references(found.pop(id(probe[0])), held)
        for item in found.values():
            # Whoever named a part holds it, and so does the mapping in which it was named.
            others = _references(item, held) - alone - (item.holder is None)
            item.shared = not item.exact and (others > 0 or _is_shared(item.holder))
        return list(found.values())

    def _held_by(self, item: _Found) -> Iterator[_Found]:
        """Yield what an object holds, and watch what a function uses."""
        value = item.value
        if isinstance(value, type | FunctionType):
            for path, read in variables.used_by(value):
                held = read()
                if not _is_restored(held) and not isinstance(held, type | FunctionType):
                    self._watch(path, read)
                if _is_followed(held):
                    yield _Found(path, held, item, not _is_restored(held), item.exact)
            return
        for label, held in _items(value):
            if not isinstance(held, _ATOMS) and (not item.lent or _is_followed(held)):
                lent = isinstance(held, type | FunctionType)
                lent = lent or (item.lent and not _is_restored(held))
                yield _Found(f"{item.path}{label}", held, item, lent, item.exact)
        if not item.lent and hasattr(value, "__dict__"):
            yield _Found(item.path, type(value), item, lent=True)

    def _watch(self, path: str, read: Callable[[], Any]) -> None:
        if self._watches is not None:
            self._watches.append(Watch(path, read))

    def _keep(self, found: _Found) -> None:
        value = found.value
        if isinstance(value, torch.Tensor):
            size = value.numel() * value.element_size()
            self._keep_numbers(found, _tensor if _is_plain(value) else None, size)
        elif isinstance(value, np.ndarray):
            if value.flags.writeable:
                is_mapped = isinstance(value, np.memmap)
                self._keep_numbers(found, None if is_mapped else _array, value.nbytes)
        elif isinstance(value, bytearray | array):
            self._keep_numbers(found, _elements, memoryview(value).nbytes)
        elif isinstance(value, _CONTAINERS):
            self._restore.append(contents(value))
            if len(value) > MOST_OBJECTS:
                self._watch(f"the items of {found.path}", lambda: value)
        elif (restore := _generator(value)) is not None:
            self._restore.append(restore)
        elif isinstance(value, Iterator) and not hasattr(value, "__dict__"):
            self._watch(found.path, lambda: value)
        else:
            self._restore.extend(attributes(value))

    def _keep_numbers(
        self, found: _Found, keep: Callable[[Any], Callable[[], None]] | None, size: int
    ) -> None:
        value = found.value
        if keep is not None and size <= self._left:
            self._left -= size
            self._restore.append(keep(value))
        else:
            self._watch(f"{found.path} ({size / 2**20:.1f} MiB)", lambda: value)


def _collection(found: _Found) -> Collection:
    """Return what is known of a shared container since an earlier search, else what is new."""
    owner = found
    while owner.holder is not None and not owner.holder.lent:
        owner = owner.holder
    try:
        known = _KNOWN.setdefault(owner.value, {})
    except TypeError:  # it cannot be referred to weakly, or not be a key
        known = {}
    collection = known.setdefault(id(found.value), Collection(found.value))
    collection.begin(is_first=True)
    return collection


def _is_shared(holder: _Found | None) -> bool:
    """Whether the user has what was found here: it is shared, or it is a function of the user's."""
    return holder is not None and (holder.shared or holder.lent)


def _references(found: _Found, held: Counter[int]) -> int:
    """Count who refers to an object, apart from the objects that were looked at."""
    return sys.getrefcount(found.value) - held[id(found.value)]


def _is_opaque(value: object) -> bool:
    if isinstance(value, Trainer | ModuleType):
        return True
    return type(value).__module__.partition(".")[0] in _OPAQUE


def _is_restored(value: object) -> bool:
    """Whether something is put back although only a function uses it.

    It learns or draws, or a model is made from it, as from a configuration.
    """
    if isinstance(value, torch.Tensor):
        return value.requires_grad
    return isinstance(value, _LEARNS_OR_DRAWS)


def _is_followed(value: object) -> bool:
    """Whether what a function uses may lead to something that is put back."""
    kinds = (*_CONTAINERS, tuple, type, FunctionType, MethodType, BuiltinMethodType, partial)
    return isinstance(value, kinds) or _is_restored(value)


# What objects hold.


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds, each with what a reader would write behind the object."""
    if isinstance(value, MethodType | BuiltinMethodType):
        yield "", value.__self__
    if isinstance(value, MethodType):
        yield "", value.__func__
    elif isinstance(value, partial):
        yield from (("", value.func), (".args", value.args), (".keywords", value.keywords))
    elif isinstance(value, dict):
        if len(value) <= MOST_OBJECTS:
            yield from ((f"[{key!r}]", held) for key, held in dict.items(value))
    elif isinstance(value, list | tuple | set | frozenset | deque):
        if len(value) <= MOST_OBJECTS:
            yield from ((f"[{index}]", held) for index, held in enumerate(value))
    elif isinstance(value, np.ndarray) and value.dtype.hasobject and value.size <= MOST_OBJECTS:
        yield from ((f"[{index}]", held) for index, held in enumerate(value.flat))
    if not isinstance(value, torch.Tensor):
        yield from ((f".{name}", held) for name, held in _attributes_of(value).items())


def _attributes_of(value: Any) -> dict[str, Any]:
    slots = {name: getattr(value, name) for name in _slots(type(value)) if hasattr(value, name)}
    return {**slots, **getattr(value, "__dict__", {})}


def _slots(kind: type) -> Iterator[str]:
    for cls in kind.__mro__:
        names = vars(cls).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__"):
                private = name.startswith("__") and not name.endswith("__")
                yield f"_{cls.__name__.lstrip('_')}{name}" if private else name


# Keeping one object: each returns what puts it back.


def attributes(value: Any) -> Iterator[Callable[[], None]]:
    """Yield what puts an object's attributes back; what they hold is another matter."""
    own = getattr(value, "__dict__", None)
    if isinstance(own, dict):
        yield contents(own)
    given = {name: getattr(value, name) for name in _slots(type(value)) if hasattr(value, name)}

    def restore() -> None:
        for name in _slots(type(value)):
            if name in given:
                if getattr(value, name, None) is not given[name]:
                    object.__setattr__(value, name, given[name])
            elif hasattr(value, name):
                object.__delattr__(value, name)

    if given:
        yield restore


def contents(value: Any) -> Callable[[], None]:
    """Return what puts the contents of a container back."""
    return partial(_write, value, _read(value))


def _read(container: Any) -> list[Any]:
    if isinstance(container, dict):
        return [part for item in dict.items(container) for part in item]
    return list(container)


def _is_same(items: list[Any], others: list[Any]) -> bool:
    return len(items) == len(others) and all(map(is_, items, others))


def _write(container: Any, items: list[Any]) -> None:
    if _is_same(_read(container), items):
        return
    kind: Any = next(kind for kind in _CONTAINERS if isinstance(container, kind))
    kind.clear(container)
    if isinstance(container, dict):
        for key, item in zip(items[::2], items[1::2], strict=True):
            kind.__setitem__(container, key, item)
    elif isinstance(container, set):
        container.update(items)
    else:
        kind.extend(container, items)


def _added(given: list[Any], container: Any) -> list[Any]:
    """Return what was added to a container since it was as given."""
    now = _read(container)
    if isinstance(container, dict):
        keys = set(given[::2])
        items = zip(now[::2], now[1::2], strict=True)
        return [part for item in items if item[0] not in keys for part in item]
    if isinstance(container, set):
        return list(container.difference(given))
    return now[len(given) :] if _is_same(given, now[: len(given)]) else []


def _is_plain(value: torch.Tensor) -> bool:
    own = type(value) in (torch.Tensor, nn.Parameter, nn.Buffer)
    return own and value.layout == torch.strided and not (value.is_meta or value.is_inference())


def _tensor(value: torch.Tensor) -> Callable[[], None]:
    given = value.detach().clone()
    requires_grad, gradient = value.requires_grad, value.grad if value.is_leaf else None

    def restore() -> None:
        now = value.detach()
        if now.device != given.device or now.dtype != given.dtype or now.shape != given.shape:
            value.data = given
        elif not torch.equal(now, given):
            now.copy_(given)
        if value.is_leaf:
            value.requires_grad_(requires_grad)
            value.grad = gradient

    return restore


def _array(value: Any) -> Callable[[], None]:
    given = value.copy()

    def restore() -> None:
        if value.shape != given.shape:
            value.resize(given.shape, refcheck=False)
        value[...] = given

    return restore


def _elements(value: bytearray | array[Any]) -> Callable[[], None]:
    return partial(value.__setitem__, slice(None), copy.copy(value))


def _generator(value: Any) -> Callable[[], None] | None:
    """Keep the state of a generator of random numbers; None for anything else."""
    if isinstance(value, torch.Generator):
        return partial(_set_state, value, value.get_state())
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return partial(value.setstate, value.getstate())
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state(legacy=False))
    if isinstance(value, np.random.Generator):
        value = value.bit_generator
    if isinstance(value, np.random.BitGenerator):
        return partial(setattr, value, "state", copy.deepcopy(value.state))
    return None


def _set_state(generator: torch.Generator, state: torch.Tensor) -> None:
    generator.set_state(state)
