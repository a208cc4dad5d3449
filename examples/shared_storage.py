"""One Optuna study that several launches work on at once: start this on as many machines."""

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import hpsearch
from hpsearch import Float

optuna.logging.set_verbosity(optuna.logging.WARNING)
Path("shared").mkdir(exist_ok=True)


def objective(trial):
    return (trial["x"] - 0.3) ** 2


study = hpsearch.search(
    objective,
    {"x": Float(0, 1)},
    backend="optuna",
    n_trials=None,
    timeout=3,
    storage=JournalStorage(JournalFileBackend("shared/optuna.log")),
    study_name="together",
    load_if_exists=True,
)
print(f"this launch: {len(study.trials)} trials")
print(f"all launches: {len(study.native.trials)} trials, best {study.native.best_params}")
