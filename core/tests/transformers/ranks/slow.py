"""A search with a journal, to be interrupted; a line for each trial and each rank.

With ``hold``, the second trial of a launch goes on until something ends it.
"""

import os
import sys
import time
from pathlib import Path

from toys import (  # type: ignore[import-not-found]
    LR,
    RANK,
    TrainerCallback,
    make_trainer,
    say,
    search,
)

folder, trials, hold = Path(sys.argv[1]), int(sys.argv[2]), "hold" in sys.argv[3:]
# Long where the launcher has to end the others, short where there is none.
rank_timeout = 60 if "TORCHELASTIC_RUN_ID" in os.environ else 3


class Holds(TrainerCallback):  # type: ignore[misc]
    def __init__(self):
        self.trainings = 0

    def on_train_begin(self, args, state, control, **kwargs):
        self.trainings += 1

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 1:
            say(f"pid {os.getpid()} trains {state.trial_name}")

    def on_step_end(self, args, state, control, **kwargs):
        if hold and self.trainings == 2:
            time.sleep(0.05)
        elif state.global_step == 9:
            control.should_training_stop = True


try:
    best = search(
        make_trainer(folder, callbacks=[Holds()], num_train_epochs=100_000),
        LR,
        n_trials=trials,
        storage=folder / "study.db",
        resume=True,
        rank_timeout=rank_timeout,
    )
except KeyboardInterrupt as error:
    say(f"interrupted: {error}")
    # The launcher ends a rank soon after the other one, so neither leaves before both have said it.
    said = [folder / f"{os.environ['MASTER_PORT']} interrupted {rank}" for rank in range(2)]
    said[RANK].touch()
    while not said[1 - RANK].exists():
        time.sleep(0.01)
    raise
say(f"found {best.run_id} {best.objective.hex()}")
