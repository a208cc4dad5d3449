"""Which of several processes this is, and the store between them."""

from __future__ import annotations

import itertools
import os
from functools import lru_cache
from typing import TYPE_CHECKING

from torch import distributed as dist

from hpsearch.errors import RankError
from hpsearch.transformers.ranks.store import KeyValueStore, wait_for

if TYPE_CHECKING:
    from torch._C._distributed_c10d import TCPStore

_PORT = "hpsearch/port"
_searches = itertools.count()


def processes() -> int:
    """Return how many processes train together here: 1 unless a launcher started several."""
    return _rank_and_size()[1]


def join() -> KeyValueStore:
    """Return the key-value store of the next search, which every rank joins.

    Raises:
        RankError: The launch does not say where its ranks meet.
    """
    rank, size = _rank_and_size()
    return KeyValueStore(_store(), rank, size, f"search {next(_searches)}")


def _rank_and_size() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    if "LOCAL_RANK" in os.environ:  # what accelerate goes by
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    return 0, 1


@lru_cache(maxsize=1)
def _store() -> TCPStore:
    """Return the store of this launch's searches, which rank 0 serves for as long as it lives.

    The launch's own store is only where rank 0 leaves the port: it may be served by a process that
    ends before the others.
    """
    from torch.distributed.rendezvous import rendezvous

    make_store: type[TCPStore] = dist.TCPStore  # type: ignore[attr-defined] # documented as public
    try:
        meeting, rank, _ = next(iter(rendezvous("env://")))
    except ValueError as error:
        raise RankError(
            "several processes train together here, and their launch does not say where they "
            f"meet ({error}); start the script with torchrun or accelerate launch"
        ) from error
    host = os.environ["MASTER_ADDR"]
    if rank == 0:
        store = make_store(host, 0, is_master=True, wait_for_workers=False)
        meeting.set(_PORT, str(store.port))
        return store
    wait_for(lambda: meeting.check([_PORT]))
    port = int(meeting.get(_PORT))
    return make_store(host, port, is_master=False, wait_for_workers=False)
