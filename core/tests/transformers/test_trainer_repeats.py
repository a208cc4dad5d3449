"""``repeats=``: a trial trains on folds or with several seeds, and counts as their mean."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from transformers import Trainer, TrainerCallback

import hpsearch
from hpsearch.errors import ArgumentError
from hpsearch.pruners import MedianPruner
from hpsearch.transformers import Folds, Seeds, at_most, load_best_model, refit

LR = {"learning_rate": hpsearch.Float(0.01, 0.1, log=True)}


def loss(metrics):
    return metrics["eval_loss"]


@pytest.fixture
def table(toys):
    """The toys' data as a dataset with columns, more of one label than of the other."""
    rows = toys.make_data(30)
    rows = [row for n, row in enumerate(rows) if row["labels"] or n % 3 == 0]
    columns = {"x": [row["x"].tolist() for row in rows], "labels": [row["labels"] for row in rows]}
    return Dataset.from_dict(columns).with_format("torch")


# What is trained and evaluated.


def test_each_fold_is_left_out_once_and_the_mean_counts(make_trainer, search, toys):
    data = toys.make_data(23)
    trainer = make_trainer(train_dataset=data, eval_dataset=data[:2])
    best = search(trainer, LR, repeats=Folds(3), compute_objective=loss)
    rate = best.hyperparameters["learning_rate"]
    losses = []
    for fold in Folds(3).split(data):
        kept_out = [data[i] for i in fold]
        others = [row for i, row in enumerate(data) if i not in fold]
        alone = make_trainer(train_dataset=others, eval_dataset=kept_out, learning_rate=rate)
        alone.train()
        losses.append(alone.evaluate()["eval_loss"])
    assert [part["objectives"] for part in best.trial.attrs["repeats"]] == [[v] for v in losses]
    assert best.objective == pytest.approx(sum(losses) / 3, rel=1e-12)
    assert best.trial.attrs["metrics"]["eval_loss"] == best.objective
    means = [losses[0], sum(losses[:2]) / 2, sum(losses) / 3]
    assert list(best.trial.intermediate) == [1, 2, 3]
    assert [values[0] for values in best.trial.intermediate.values()] == pytest.approx(means)


def test_each_seed_trains_as_it_would_alone(make_trainer, search):
    best = search(make_trainer(seed=7), LR, repeats=Seeds(3), compute_objective=loss)
    rate = best.hyperparameters["learning_rate"]
    for part, seed in zip(best.trial.attrs["repeats"], (7, 8, 9), strict=True):
        alone = make_trainer(seed=seed, learning_rate=rate)
        alone.train()
        assert part["objectives"] == [alone.evaluate()["eval_loss"]]
    assert best.trial.attrs["training_seed"] == 7
    assert "seed" not in best.trial.attrs["arguments"]


def test_a_factory_builds_each_training_with_its_own_seed(make_trainer, search, toys):
    def factory(trial):
        return make_trainer(model=toys.Net(), learning_rate=trial["learning_rate"])

    best = search(None, LR, trainer_factory=factory, repeats=Seeds(2))
    first, second = (part["objectives"] for part in best.trial.attrs["repeats"])
    assert first != second
    once = search(None, LR, trainer_factory=factory, enqueue=[best])
    assert first == [once.objective]


def test_folds_are_disjoint_cover_everything_and_are_the_same_each_time():
    folds = Folds(4).split(range(10))
    assert sorted(index for fold in folds for index in fold) == list(range(10))
    assert sorted(map(len, folds)) == [2, 2, 3, 3]
    assert folds == Folds(4).split(range(10))
    assert folds != Folds(4, seed=1).split(range(10))


def test_stratified_folds_have_each_label_in_its_share(table):
    labels = table["labels"]
    whole = int(sum(labels))
    for fold in Folds(3, stratify_by="labels").split(table):
        assert abs(sum(int(labels[i]) for i in fold) - whole / 3) < 1
    listed = [{"labels": n % 2} for n in range(12)]
    assert all(
        sum(listed[i]["labels"] for i in fold) == 2
        for fold in Folds(3, stratify_by="labels").split(listed)
    )


def test_folds_of_a_dataset_with_columns_train(make_trainer, search, table):
    trainer = make_trainer(train_dataset=table, eval_dataset=table)
    best = search(trainer, LR, repeats=Folds(2, stratify_by="labels"))
    assert len(best.trial.attrs["repeats"]) == 2
    assert trainer.train_dataset is table
    assert trainer.eval_dataset is table


def test_folds_need_no_eval_dataset(make_trainer, search):
    trainer = make_trainer(eval_dataset=None, eval_strategy="no")
    assert search(trainer, LR, repeats=Folds(2)).objective > 0
    with pytest.raises(ArgumentError, match="no eval_dataset"):
        search(trainer, LR, repeats=Seeds(2))


def test_several_objectives_are_each_a_mean(make_trainer, search):
    def two(metrics):
        return metrics["eval_loss"], metrics["epoch"]

    (best, *_) = search(
        make_trainer(),
        LR,
        repeats=Seeds(2),
        compute_objective=two,
        direction=["minimize", "maximize"],
    )
    parts = [part["objectives"] for part in best.trial.attrs["repeats"]]
    assert best.trial.objectives == (pytest.approx((parts[0][0] + parts[1][0]) / 2), 2.0)


def test_the_best_evaluation_of_each_training_counts(make_trainer, search):
    unsteady = {"learning_rate": hpsearch.Categorical([0.5])}
    trainer = make_trainer(num_train_epochs=6)
    best = search(trainer, unsteady, repeats=Seeds(2), objective_from="best")
    last = search(trainer, unsteady, repeats=Seeds(2))
    assert best.objective < last.objective


# With all that a search does.


class PrunesAfterOne:
    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return trial.number == 1


def test_a_trial_is_pruned_between_trainings(make_trainer, search):
    trained = []

    class Counts(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            trained.append(state.trial_name)

    best = search(
        make_trainer(callbacks=[Counts()]),
        LR,
        n_trials=3,
        repeats=Folds(2),
        plugins=[PrunesAfterOne()],
    )
    assert trained == [f"run-{n}/fold-{k}" for n, k in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1))]
    pruned = best.study.trials[1]
    assert pruned.state == "pruned"
    assert list(pruned.intermediate) == [1]
    assert len(pruned.attrs["repeats"]) == 1


def test_the_built_in_pruner_compares_means_of_as_many_trainings(make_trainer, search):
    pruner = MedianPruner(n_startup_trials=2)
    space = {"learning_rate": hpsearch.Categorical([0.2, 0.1, 1e-6])}
    best = search(
        make_trainer(), space, backend="grid", n_trials=3, repeats=Seeds(3), pruner=pruner
    )
    worst = next(t for t in best.study.trials if t["learning_rate"] == 1e-6)
    assert (worst.state, list(worst.intermediate)) == ("pruned", [1])


def test_the_largest_value_of_a_constraint_counts(make_trainer, search, toys):
    """A trial is as feasible as its worst training."""
    measured = iter([-3.0, -0.5, -1.0])

    def model_init(trial):
        if trial is not None:
            trial.set_constraint("memory", next(measured))
        return toys.Net()

    best = search(make_trainer(model_init=model_init), LR, repeats=Seeds(3))
    assert best.trial.constraints == {"memory": -0.5}


def test_the_mean_has_to_keep_the_limits(make_trainer, search):
    trial = search(make_trainer(), LR, repeats=Seeds(2), constraints={"loss": at_most(9.5)}).trial
    losses = [part["metrics"]["eval_loss"] for part in trial.attrs["repeats"]]
    assert trial.constraints == {"loss": sum(losses) / 2 - 9.5}


def test_what_model_init_suggests_is_one_value_for_all_trainings(make_trainer, search, toys):
    widths = []

    def model_init(trial=None):
        width = 4 if trial is None else trial.suggest_int("width", 2, 64)
        if trial is not None:
            widths.append(width)
        return toys.Net(width)

    best = search(make_trainer(model_init=model_init), lambda trial: {}, repeats=Seeds(3))
    assert widths == [best.hyperparameters["width"]] * 3


def test_a_callback_starts_each_training_as_given(make_trainer, search):
    class Stops(TrainerCallback):
        seen = 0

        def on_evaluate(self, args, state, control, **kwargs):
            self.seen += 1
            control.should_training_stop = self.seen == 2

    trainer = make_trainer(callbacks=[Stops()], num_train_epochs=3)
    parts = search(trainer, LR, repeats=Seeds(2)).trial.attrs["repeats"]
    assert [part["metrics"]["epoch"] for part in parts] == [2.0, 2.0]


def test_each_training_has_a_folder_in_the_runs(make_trainer, search, tmp_path):
    best = search(make_trainer(save_strategy="epoch"), LR, repeats=Folds(2), n_trials=2)
    saved = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*/checkpoint-*"))
    assert len(saved) == len(set(saved)) == 8
    run = Path(best.trial.attrs["output_dir"])
    assert run == tmp_path / best.trial.attrs["run_name"]
    first = best.trial.attrs["repeats"][0]
    assert Path(first["checkpoint"]).parent == run / "fold-0"


def test_a_worker_gives_the_same_trials(make_trainer, search, elsewhere):
    def facts(**options):
        best = search(make_trainer(), LR, n_trials=2, repeats=Folds(3), **options)
        return [(t.objectives, t.intermediate, t.attrs["run_name"]) for t in best.study.trials]

    assert facts(executor=elsewhere) == facts()


def test_a_failed_training_fails_its_trial_and_a_retry_trains_all_again(make_trainer, search, toys):
    built = []

    def model_init(trial=None):
        if trial is not None:
            built.append(trial.number)
            if len(built) == 2:
                raise RuntimeError("out of memory")
        return toys.Net()

    best = search(
        make_trainer(model_init=model_init), LR, repeats=Seeds(2), retries=1, catch=RuntimeError
    )
    assert built == [0, 0, 1, 1]
    assert best.trial.retry_of == 0
    assert len(best.trial.attrs["repeats"]) == 2


def test_an_interrupted_trial_trains_all_again(make_trainer, search, tmp_path, toys):
    built = []

    def model_init(trial=None):
        if trial is not None:
            built.append(trial.number)
            if len(built) == 4:
                raise KeyboardInterrupt
        return toys.Net()

    def run(**options):
        trainer = make_trainer(model_init=model_init, folder=tmp_path / "runs")
        return search(
            trainer, LR, repeats=Seeds(2), n_trials=3, storage=tmp_path / "s.db", **options
        )

    with pytest.raises(hpsearch.errors.SearchInterrupted):
        run()
    best = run(resume=True)
    assert built == [0, 0, 1, 1, 1, 1, 2, 2]
    plain = search(make_trainer(), LR, repeats=Seeds(2), n_trials=3)
    assert [t.objectives for t in best.study.trials] == [t.objectives for t in plain.study.trials]
    assert all(len(trial.attrs["repeats"]) == 2 for trial in best.study.trials)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (Folds(2), Seeds(2)),
        (Folds(2), None),
        (None, Seeds(2)),
        (Folds(2), Folds(2, seed=7)),
        (Folds(2), Folds(2, stratify_by="labels")),
    ],
)
def test_a_study_goes_on_with_the_repeats_that_it_has(make_trainer, search, tmp_path, then, now):
    storage = tmp_path / "study.db"
    search(make_trainer(), LR, repeats=then, storage=storage)
    with pytest.raises(ArgumentError, match="of this study was trained"):
        search(make_trainer(), LR, repeats=now, storage=storage, n_trials=2, resume=True)


# The model.


def test_a_mean_has_no_model_and_refit_trains_one(make_trainer, search, toys):
    trainer = make_trainer()
    best = search(trainer, LR, repeats=Folds(2), n_trials=2)
    with pytest.raises(ArgumentError, match=r"trained 2 models.*refit\(trainer, best\)"):
        load_best_model(trainer, best)
    again = refit(trainer, best)
    alone = make_trainer(learning_rate=best.hyperparameters["learning_rate"])
    alone.train()
    assert toys.same_weights(again.model.state_dict(), alone.model.state_dict())


def test_refit_trains_with_the_first_of_the_seeds(make_trainer, search):
    trainer = make_trainer(seed=5)
    best = search(trainer, LR, repeats=Seeds(2), compute_objective=loss)
    first = best.trial.attrs["repeats"][0]["objectives"]
    assert [refit(trainer, best).evaluate()["eval_loss"]] == first


# What is refused, before the first trial.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 5}, r"repeats is 5, expected Folds\(5\) or Seeds\(3\)"),
        ({"repeats": Folds}, "repeats is .*Folds"),
        ({"repeats": Folds(2), "keep_checkpoints": 1}, r"repeats=Folds\(2\) a trial has 2"),
        ({"repeats": Folds(23)}, r"22 examples, too few for Folds\(23\)"),
        ({"repeats": Folds(2, stratify_by="label")}, "'label'.*Did you mean 'labels'"),
        ({"repeats": Folds(2, stratify_by="x")}, "its values are not labels"),
        ({"repeats": Seeds(2), "hp_space": {"seed": hpsearch.Int(1, 9)}}, "'seed' is searched"),
    ],
)
def test_a_repeat_that_cannot_be_is_refused(make_trainer, search, options, message):
    def never(trial=None):
        assert trial is None, "a trial began"
        return make_trainer().model_init()

    options = {"hp_space": LR, **options}
    with pytest.raises(ArgumentError, match=message):
        search(make_trainer(model_init=never), **options)


@pytest.mark.parametrize("make", [Folds, Seeds])
@pytest.mark.parametrize("count", [1, 2.0, True, "5"])
def test_a_count_is_a_whole_number_of_at_least_two(make, count):
    with pytest.raises(ArgumentError, match="the number of (fold|seed)s is"):
        make(count)


def test_data_without_indices_is_refused(make_trainer, search, toys):
    from torch.utils.data import IterableDataset

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(toys.make_data())

    for data in (Stream(), {"one": toys.make_data(), "two": toys.make_data()}):
        trainer = make_trainer(max_steps=2)
        trainer.train_dataset = data
        with pytest.raises(ArgumentError, match="only one dataset with a length and indices"):
            search(trainer, LR, repeats=Folds(2))


def test_an_evaluator_with_data_of_its_own_is_refused(make_trainer, search):
    class Evaluates(Trainer):
        evaluator = staticmethod(lambda model: {"score": 1.0})

    with pytest.raises(ArgumentError, match=r"evaluator.*not the fold.*Seeds"):
        search(make_trainer(cls=Evaluates), LR, repeats=Folds(2))


def test_a_factorys_data_are_checked_in_the_first_trial(make_trainer, search):
    with pytest.raises(ArgumentError, match="too few"):
        search(None, LR, trainer_factory=lambda trial: make_trainer(), repeats=Folds(30))


@pytest.mark.parametrize("name", [3, True, ["labels"], ""])
def test_the_column_of_the_labels_is_a_text(name):
    with pytest.raises(ArgumentError, match="stratify_by is"):
        Folds(2, stratify_by=name)


def test_what_an_evaluation_adds_as_a_number_of_numpy_has_a_mean(make_trainer, search):
    class Adds(Trainer):
        def evaluate(self, *args, **options):
            metrics = super().evaluate(*args, **options)
            metrics["eval_extra"] = np.float64(metrics["eval_loss"] + 1)
            return metrics

    best = search(make_trainer(cls=Adds), LR, repeats=Seeds(2), compute_objective="extra")
    assert best.trial.attrs["metrics"]["eval_extra"] == best.objective
