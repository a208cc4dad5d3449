"""Searches that every rank runs; ``test_trainer_ranks_search`` compares what each rank saw."""

import math

import toys  # type: ignore[import-not-found]
from toys import RANK, At, Net, Steps, make_trainer, search, told  # type: ignore[import-not-found]
from transformers import TrainerCallback

import hpsearch
from hpsearch.transformers import Folds, at_most, load_best_model, refit


def same_trials(folder):
    trials, objectives = [], []

    def model_init(trial):
        trials.append(None if trial is None else dict(trial))
        return Net()

    def compute_objective(metrics):
        objectives.append(metrics["eval_loss"].hex())
        return metrics["eval_loss"]

    trainer = make_trainer(folder, model_init)
    before = trainer.args.to_dict()
    best = search(trainer, compute_objective=compute_objective, n_trials=4)
    return {
        "best": best,
        "trials": told(best.study),
        "model_init": trials,
        "objectives": objectives,
        "restored": trainer.args.to_dict() == before,
        "n_of": [best.study.seed, best.study.n_trials, best.trial.number],
    }


class Tires(TrainerCallback):
    """Stops for good after two evaluations, of whatever trial."""

    def __init__(self):
        self.losses = []

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        self.losses.append(metrics["eval_loss"])
        control.should_training_stop = len(self.losses) >= 2


def as_given(folder):
    trainer = make_trainer(folder, callbacks=[Tires()], save_strategy="epoch")
    space = {"weight_decay": hpsearch.Categorical([0.01])}
    best = search(trainer, space, n_trials=3, check_replay=True)
    return {
        "trials": told(best.study),
        "checked": [trial.attrs.get("replayed") for trial in best.study.trials],
        "left": sorted(path.name for path in folder.glob("run-0/checkpoint-*")),
    }


class PruneEven:
    """Prunes trials 0 and 2 at their second evaluation."""

    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return trial.number % 2 == 0 and len(trial.intermediate) == 2


def pruned(folder):
    steps = Steps()
    best = search(make_trainer(folder, callbacks=[steps]), plugins=[PruneEven()], n_trials=4)
    return {"trials": told(best.study), "steps": steps.seen}


def folds(folder):
    best = search(make_trainer(folder), plugins=[PruneEven()], n_trials=4, repeats=Folds(3))
    return {
        "trials": told(best.study),
        "folds": [len(trial.attrs["repeats"]) for trial in best.study.trials],
        "run_name": best.trial.attrs["run_name"],
    }


def timed_out(folder):
    best = search(make_trainer(folder), n_trials=None, timeout=1.5)
    return {"trials": told(best.study)}


def boom():
    raise ValueError(f"boom on rank {RANK}")


def failed(folder):
    fails = At(boom, _1=[0], _4=[1], _7=[0, 1])
    best = search(make_trainer(folder, callbacks=[fails]), n_trials=10)
    return {"trials": told(best.study), "best": best}


def not_failed(folder):
    best = search(make_trainer(folder, callbacks=[At(boom)]), n_trials=10)
    return {"trials": told(best.study)}


def failed_in_the_objective(folder):
    """Rank 1 fails when rank 0 has nothing left to do in the trial, then in the first of two."""
    calls = []

    def compute_objective(metrics):
        calls.append(metrics)
        if RANK == 1 and len(calls) == 6:
            boom()
        return metrics["eval_loss"]

    best = search(make_trainer(folder), compute_objective=compute_objective, n_trials=4)
    return {"trials": told(best.study)}


def pruned_by_the_user_on_one_rank(folder):
    def prune():
        raise hpsearch.TrialPruned

    best = search(make_trainer(folder, callbacks=[At(prune, _1=[1])]), n_trials=3)
    return {"trials": told(best.study)}


def nan_objective(folder):
    evaluations = []

    def compute_objective(metrics):
        evaluations.append(metrics)
        return math.nan if len(evaluations) == 2 else metrics["eval_loss"]

    trainer = make_trainer(folder, num_train_epochs=1)
    best = search(trainer, compute_objective=compute_objective, n_trials=4)
    return {"trials": told(best.study)}


def several_directions(folder):
    front = search(
        make_trainer(folder),
        compute_objective=lambda metrics: (metrics["eval_loss"], -metrics["eval_loss"]),
        direction=["minimize", "minimize"],
        n_trials=3,
    )
    return {
        "front": front,
        "trials": told(front[0].study),
        "numbers": [r.trial.number for r in front],
    }


def by_name(folder):
    front = search(
        make_trainer(folder),
        compute_objective=["loss", "eval_loss"],
        direction=["minimize", "maximize"],
        constraints={"loss": at_most(9.5)},
    )
    trials = front[0].study.trials
    return {"trials": told(front[0].study), "limits": [trial.constraints for trial in trials]}


def not_there(folder):
    return search(make_trainer(folder), compute_objective="f1")


def suggested_by_model_init(folder):
    widths = []

    def model_init(trial):
        if trial is None:
            return Net()
        widths.append(trial.suggest_int("width", 2, 64))
        return Net(widths[-1])

    def hp_name(trial):
        return f"width-{trial['width']}-on-{RANK}"

    best = search(make_trainer(folder, model_init), lambda trial: {}, hp_name=hp_name, n_trials=4)
    return {"trials": told(best.study), "widths": widths}


def suggested_by_hp_space(folder):
    def hp_space(trial):
        power = trial.suggest_int("power", 1, 3)
        return {"learning_rate": 10.0**-power, "weight_decay": trial.suggest_float("wd", 0, 0.1)}

    rates = []

    class Rates(toys.TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            rates.append([args.learning_rate, args.weight_decay])

    best = search(make_trainer(folder, callbacks=[Rates()]), hp_space, n_trials=3)
    return {"trials": told(best.study), "rates": rates, "hyperparameters": best.hyperparameters}


def factory(folder):
    callback = At(boom, _1=[1])

    def trainer_factory(trial):
        return make_trainer(folder, model=Net(trial["width"]), callbacks=[callback])

    best = search(None, {"width": hpsearch.Int(2, 64)}, trainer_factory=trainer_factory, n_trials=4)
    return {"trials": told(best.study), "best": best}


def best_model(folder):
    trainer = make_trainer(folder)
    best = search(trainer, keep_checkpoints=1, n_trials=3)
    load_best_model(trainer, best)
    folders = sorted(path.name for path in folder.glob("*/checkpoint-*"))
    return {
        "checkpoint": best.checkpoint,
        "folders": folders,
        "evaluated_again": trainer.evaluate()["eval_loss"].hex(),
        "objective": best.objective.hex(),
    }


def best_model_loaded_back(folder):
    """Twice in one folder; the rates are so high that the last epoch is not the best."""
    changes = {"save_strategy": "epoch", "load_best_model_at_end": True, "save_total_limit": 1}
    trainer = make_trainer(folder, num_train_epochs=5, **changes)
    space = {"learning_rate": hpsearch.Categorical([0.5, 0.7])}
    first, second = (search(trainer, space, keep_checkpoints=1, n_trials=2) for _ in range(2))
    evaluated = []
    for best in (first, second):
        load_best_model(trainer, best)
        evaluated.append(trainer.evaluate()["eval_loss"].hex())
    refit(trainer, first)
    return {
        "evaluated": [*evaluated, trainer.evaluate()["eval_loss"].hex()],
        "objectives": [first.objective.hex(), second.objective.hex()],
        "folders": sorted(path.name for path in folder.glob("run-*")),
    }


def resumed(folder):
    journal = folder.parent / "study.db"
    first = search(make_trainer(folder), n_trials=2, storage=journal)
    again = search(make_trainer(folder), n_trials=4, storage=journal, resume=True)
    return {"first": told(first.study), "again": told(again.study)}


class Heard:
    """Notes which hooks of a search are called in this rank."""

    def __init__(self):
        self.hooks = []

    @hpsearch.hookimpl
    def hpsearch_start(self, study, trial):
        self.hooks.append("start")

    @hpsearch.hookimpl
    def hpsearch_tell(self, study, trial):
        self.hooks.append("tell")


def by_rank_0_alone(folder):
    heard, journal = Heard(), folder.parent / f"of_rank{RANK}.db"
    search(make_trainer(folder), plugins=[heard], storage=journal)
    return {"hooks": heard.hooks, "journal": journal.exists()}


def misspelt(folder):
    return search(make_trainer(folder), {"learning_rat": hpsearch.Float(0, 1)})


def unread(folder):
    def model_init(trial):
        return Net()

    return search(make_trainer(folder, model_init), {"never_read": hpsearch.Float(0, 1)})


def wrong_on_rank_1_alone(folder):
    return search(
        make_trainer(folder, **({"eval_dataset": None} if RANK else {}), eval_strategy="no")
    )


def each_for_itself(folder):
    """Without an accelerator and ``use_cpu``, a Trainer does not join the other processes."""

    def trainer_factory(trial):
        trainer = make_trainer(folder, model=Net())
        type(trainer.args).world_size = property(lambda args: 1)
        return trainer

    world_size = toys.TrainingArguments.world_size
    try:
        return search(None, {"a": hpsearch.Float(0, 1)}, trainer_factory=trainer_factory)
    finally:
        toys.TrainingArguments.world_size = world_size


def failed_too_often(folder):
    return search(make_trainer(folder, callbacks=[At(boom, _0=[1])]))


def workers(folder):
    return search(make_trainer(folder), n_workers=2)


def enough_of_that(folder):
    """Whatever happened above, the process group works."""
    trainer = make_trainer(folder)
    trainer.train()
    return {"eval_loss": trainer.evaluate()["eval_loss"].hex()}


SCENARIOS = [
    same_trials,
    as_given,
    pruned,
    folds,
    timed_out,
    failed,
    not_failed,
    failed_in_the_objective,
    pruned_by_the_user_on_one_rank,
    nan_objective,
    several_directions,
    by_name,
    suggested_by_model_init,
    suggested_by_hp_space,
    factory,
    best_model,
    best_model_loaded_back,
    resumed,
    by_rank_0_alone,
    misspelt,
    unread,
    not_there,
    wrong_on_rank_1_alone,
    each_for_itself,
    failed_too_often,
    workers,
    enough_of_that,
]

if __name__ == "__main__":
    toys.run_all(SCENARIOS)
