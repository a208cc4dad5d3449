"""Optuna as the engine: its samplers, pruners and storages, and its own trial in the objective."""

import optuna

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when
from hpsearch.space import dialects
from hpsearch.space.explore import explore


def objective(trial):
    goal = abs(trial["lr"] - 0.01) * 20 + abs(trial["layers"] - 3) * 0.1
    for epoch in range(10):
        loss = goal + 1 / (epoch + 1)
        trial.report(loss, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return loss


space = {"lr": Float(1e-4, 1e-1, log=True), "layers": Int(1, 6)}

study = hpsearch.search(
    objective,
    space,
    backend="optuna",
    n_trials=20,
    seed=1,
    sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=5),
    pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=10),
)
print(study.best.hyperparameters, study.counts())


# Define-by-run, on Optuna's own trial.


def define_by_run(trial):
    optimizer = trial.suggest_categorical("optimizer", ["adam", "sgd"])
    if optimizer == "sgd":
        trial.suggest_float("momentum", 0.5, 0.99)
    for layer in range(trial.suggest_int("layers", 1, 3)):
        trial.suggest_int(f"units_{layer}", 16, 256, log=True)


def units(trial):
    trial.set_user_attr("depth", trial["layers"])
    return sum(trial[f"units_{layer}"] for layer in range(trial["layers"]))


study = hpsearch.search(units, define_by_run, backend="optuna", n_trials=20, seed=1)
print(study.best.hyperparameters)
print(study.native.best_trial.user_attrs)

# The same search, begun in Optuna's own storage and continued from there to a larger total.

for total in (8, 12):
    study = hpsearch.search(
        units,
        define_by_run,
        backend="optuna",
        n_trials=total,
        storage="sqlite:///optuna.db",
        study_name="units",
        load_if_exists=True,
    )
print(len(study.trials), len(study.native.trials))

# Spaces written for Optuna, anywhere; and any space, for Optuna.

print(explore(define_by_run).conditions["units_2"])  # when(layers=[3])

distributions = {
    "x": optuna.distributions.FloatDistribution(-5, 5),
    "n": optuna.distributions.IntDistribution(1, 64, log=True),
}
study = hpsearch.search(lambda trial: trial["x"] ** 2 + trial["n"], distributions, backend="random")

conditional = Space(
    {"kind": Categorical(["a", "b"]), "x": Float(-5, 5)}, conditions={"x": when(kind="a")}
)
function = dialects.write(conditional, "optuna")
native = optuna.create_study()
native.optimize(lambda trial: function(trial).get("x", 0.0) ** 2, n_trials=5)
