"""A key-value store of JSON messages between the ranks of a search, on a store of torch's."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import distributed as dist

from hpsearch.errors import RankError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store, TCPStore

Message: TypeAlias = dict[str, Any]

_PART = 4 << 20  # characters; the store refuses values of 8 MiB
_KEPT = 2  # turns: a rank that begins one knows that every rank has read the one before last


class KeyValueStore:
    """Messages by name. A message is written once, by one rank, and read by any.

    Args:
        store: The store that all ranks reach.
        rank: This rank.
        size: How many ranks there are.
        name: Of the search, since several may share the store.
    """

    def __init__(self, store: TCPStore, rank: int, size: int, name: str) -> None:
        self.rank = rank
        self.size = size
        self._store = store
        self._name = name
        self._written: deque[list[str]] = deque([[]])

    def write(self, key: str, message: Message) -> None:
        """Write a message.

        Raises:
            RankError: Rank 0, which serves the store, is gone.
        """
        text = json.dumps(message)
        first, *rest = [text[at : at + _PART] for at in range(0, len(text), _PART)]
        for number, part in enumerate(rest):
            self._set(f"{key}/{number}", part)
        self._set(key, f"{len(rest)} {first}")

    def claim(self, key: str, message: Message) -> None:
        """Write a message unless another rank has written one of that name before."""
        with _reaching():
            self._store.compare_set(self._full(key), "", f"0 {json.dumps(message)}")
        self._written[-1].append(self._full(key))

    def peek(self, key: str) -> Message | None:
        """Return a message, None if it is not there."""
        with _reaching():
            if not self._store.check([self._full(key)]):
                return None
            count, _, text = self._get(key).partition(" ")
            rest = [self._get(f"{key}/{number}") for number in range(int(count))]
        message: Message = json.loads(text + "".join(rest))
        return message

    def read(self, key: str, give_up: Callable[[], None]) -> Message:
        """Wait for a message.

        Args:
            key: Its name.
            give_up: Called again and again while waiting; raises to wait no more.
        """
        found: list[Message] = []

        def there() -> bool:
            message = self.peek(key)
            if message is None:
                give_up()
                return False
            found.append(message)
            return True

        wait_for(there)
        return found[0]

    def next_turn(self) -> None:
        """Delete the messages of this rank that everybody has read."""
        self._written.append([])
        while len(self._written) > _KEPT + 1:
            for key in self._written.popleft():
                with _reaching():
                    self._store.delete_key(key)

    def store_for(self, purpose: str) -> Store:
        """Return a part of the store with a connection of its own."""
        with _reaching():
            prefixed = dist.PrefixStore  # type: ignore[attr-defined] # documented as public
            part: Store = prefixed(self._full(purpose), self._connected())
            return part

    def another(self) -> KeyValueStore:
        """Return the same store on a connection of its own, for another thread."""
        with _reaching():
            return KeyValueStore(self._connected(), self.rank, self.size, self._name)

    def _connected(self) -> TCPStore:
        host, port = self._store.host, self._store.port
        return type(self._store)(host, port, is_master=False, wait_for_workers=False)

    def _set(self, key: str, text: str) -> None:
        with _reaching():
            self._store.set(self._full(key), text)
        self._written[-1].append(self._full(key))

    def _get(self, key: str) -> str:
        return self._store.get(self._full(key)).decode()

    def _full(self, key: str) -> str:
        return f"{self._name}/{key}"


def wait_for(there: Callable[[], bool]) -> None:
    """Wait until something is there. Ctrl-C acts at once, which it does not inside the store."""
    pause = 0.0005  # seconds; short at first, since most answers are on their way
    while not there():
        time.sleep(pause)
        pause = min(1.5 * pause, 0.02)


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except dist.DistError as error:
        reason = str(error).partition("\n")[0]
        raise RankError(f"rank 0, which leads the search, cannot be reached: {reason}") from error
