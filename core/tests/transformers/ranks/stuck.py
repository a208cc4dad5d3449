"""A search in which a rank fails and another can never be told: it waits where nobody comes."""

import sys
import time

from toys import RANK, At, make_trainer, search  # type: ignore[import-not-found]

folder, failing, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
held: list[object] = []


def act():
    if failing != RANK:
        if how == "busy":
            time.sleep(600)
        return
    if how == "group held":
        from torch import distributed

        held.append(distributed.group.WORLD)
    raise ValueError(f"boom on rank {RANK}")


search(
    make_trainer(folder, callbacks=[At(act, _1=[0, 1])]),
    n_trials=4,
    storage=f"{folder}/study.db",
    resume=True,
    rank_timeout=3,
)
