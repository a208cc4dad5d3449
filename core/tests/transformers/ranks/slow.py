"""A search with a journal, long enough to be interrupted; a line for each trial and each rank."""

import os
import sys
import time

from toys import LR, TrainerCallback, make_trainer, say, search  # type: ignore[import-not-found]

folder, trials, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
# Long where the launcher has to end the others, short where there is none.
rank_timeout = 60 if "TORCHELASTIC_RUN_ID" in os.environ else 3


class Slow(TrainerCallback):  # type: ignore[misc]
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 1:
            say(f"pid {os.getpid()} trains {state.trial_name}")
        time.sleep(seconds)


try:
    best = search(
        make_trainer(folder, callbacks=[Slow()]),
        LR,
        n_trials=trials,
        storage=f"{folder}/study.db",
        resume=True,
        rank_timeout=rank_timeout,
    )
except KeyboardInterrupt as error:
    say(f"interrupted: {error}")
    raise
say(f"found {best.run_id} {best.objective.hex()}")
