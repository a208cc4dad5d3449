"""Searches with each backend, which every rank runs; ``test_ranks_backends`` compares them."""

import sys

from toys import RANK, At, make_trainer, run_all, search, told  # type: ignore[import-not-found]

import hpsearch
from hpsearch.transformers import enable

LR = {"learning_rate": hpsearch.Float(0.001, 0.1, step=0.001)}


class PruneTrial2:
    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return trial.number == 2


def boom():
    raise ValueError(f"boom on rank {RANK}")


def with_backend(backend, **options):
    def scenario(folder):
        best = search(
            make_trainer(folder, callbacks=[At(boom, _1=[1])]),
            LR,
            backend=backend,
            n_trials=4,
            plugins=[PruneTrial2()],
            **options,
        )
        return {"trials": told(best.study), "best": best[:3]}

    scenario.__name__ = backend
    return scenario


def optuna_as_in_the_documentation(folder):
    import optuna

    def optuna_hp_space(trial):
        return {
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
            "per_device_train_batch_size": trial.suggest_categorical(
                "per_device_train_batch_size", [4, 8]
            ),
        }

    enable()
    best = make_trainer(folder).hyperparameter_search(
        direction="minimize",
        backend="optuna",
        hp_space=optuna_hp_space,
        n_trials=8,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
        sampler=optuna.samplers.TPESampler(seed=0),
    )
    return {"trials": told(best.study), "best": best[:3]}


def ray(folder):
    return search(make_trainer(folder), backend="ray")


def wandb_online(folder):
    from wandb.agents.pyagent import Agent

    Agent.HEARTBEAT_SLEEP_SECONDS = 0.05  # its documented way for tests
    named = {"hp_name": lambda trial: f"run-{trial.number}"}  # else by the server's own ids
    return with_backend("wandb", mode="online", project="demo", **named)(folder)


if __name__ == "__main__":
    offline = [
        with_backend(name, **({"mode": "offline"} if name == "wandb" else {}))
        for name in sys.argv[2].split(",")
    ]
    run_all([*offline, wandb_online, optuna_as_in_the_documentation, ray])
