"""A Trainer in another process: built there from its recipe, it trains to the same last bit."""

import contextlib
import copyreg
import os
import shutil
import threading
import types

import cloudpickle
import pytest
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback

import hpsearch
from hpsearch.errors import ArgumentError, SearchFailedError
from hpsearch.execution.evaluate import Evaluate
from hpsearch.execution.executor import Executor
from hpsearch.execution.pickling import dump_evaluation
from hpsearch.transformers import TrainerObjective

SPACE = {
    "learning_rate": hpsearch.Float(1e-3, 0.2, log=True),
    "seed": hpsearch.Int(1, 1000),
    "per_device_train_batch_size": hpsearch.Categorical([2, 4, 8]),
}
LR = {"learning_rate": hpsearch.Float(1e-3, 0.2, log=True)}


def run(trainer=None, space=SPACE, n_trials=3, executor="inline", plugins=(), **options):
    return hpsearch.search(
        TrainerObjective(trainer, **options),
        space,
        backend="random",
        seed=3,
        n_trials=n_trials,
        executor=executor,
        plugins=plugins,
        progress=False,
    )


def outcomes(study):
    facts = ("run_name", "output_dir", "arguments", "training_seed", "environment", "checkpoint")
    return [
        (
            trial.state,
            trial.params,
            trial.objectives,
            trial.intermediate,
            trial.attrs["metrics"]["eval_loss"],
            {name: trial.attrs[name] for name in facts},
        )
        for trial in study.trials
    ]


@pytest.mark.parametrize("trained", [False, True])
def test_a_trial_elsewhere_is_the_trial_here(make_trainer, elsewhere, tmp_path, trained):
    """A Trainer that has trained holds accelerate's weak references, which no pickle takes."""
    trainer = make_trainer(save_strategy="epoch")
    if trained:
        trainer.train()
        with pytest.raises(TypeError, match="cannot pickle"):
            cloudpickle.dumps(trainer)
    there = outcomes(run(trainer, executor=elsewhere))
    for folder in tmp_path.glob("run-*"):
        shutil.rmtree(folder)  # or else the second search would take other names
    assert there == outcomes(run(trainer))


def test_the_trainer_is_built_once_in_a_process(make_trainer, elsewhere, toys, tmp_path):
    calls = tmp_path / "calls"

    def model_init(trial):
        with calls.open("a") as file:
            file.write("none\n" if trial is None else "trial\n")
        return toys.Net()

    trainer = make_trainer(model_init=model_init)
    calls.write_text("")
    run(trainer, executor=elsewhere)
    assert calls.read_text().split() == ["none", "trial", "trial", "trial"]


def weighted(toys, weight):
    """Return a Trainer class as a notebook has it: local, with a method of its own."""

    class Weighted(Trainer):
        def compute_loss(self, model, inputs, **options):
            loss = super().compute_loss(model, inputs, **options)
            return (loss[0] * weight * self.extra, loss[1]) if type(loss) is tuple else loss

    return Weighted


def test_closures_and_local_classes_travel(make_trainer, elsewhere, toys):
    widths, threshold = {"small": 4, "large": 9}, 0.25

    class Local(toys.Net):
        pass

    def model_init(trial):
        return Local(8 if trial is None else widths[trial["width"]])

    trainer = make_trainer(
        cls=weighted(toys, 2.0),
        model_init=model_init,
        compute_metrics=lambda prediction: {"high": float((prediction[0] > threshold).mean())},
    )
    trainer.extra = 0.5
    options = {
        "space": {**LR, "width": hpsearch.Categorical(["small", "large"])},
        "compute_objective": lambda metrics: metrics["eval_high"] + metrics["eval_loss"],
        "hp_name": lambda trial: f"{trial['width']}-{trial.number}",
    }
    assert outcomes(run(trainer, executor=elsewhere, **options)) == outcomes(
        run(trainer, **options)
    )


class Notes(TrainerCallback):
    """Notes what it meets in a file, and whether the Trainer it holds is the one that trains."""

    def __init__(self, path, trainer=None):
        self.path = path
        self.trainer = trainer

    def note(self, text):
        with self.path.open("a") as file:
            file.write(f"{text}\n")

    def on_init_end(self, args, state, control, **kwargs):
        self.note("init")

    def on_evaluate(self, args, state, control, **kwargs):
        self.note(
            self.trainer is None or (self.trainer.state is state and self.trainer.args is args)
        )


@pytest.mark.parametrize("trained", [False, True])
def test_what_holds_the_trainer_holds_the_one_that_trains(
    make_trainer, elsewhere, tmp_path, trained
):
    trainer = make_trainer()
    notes = tmp_path / "notes"
    trainer.add_callback(Notes(notes, trainer))

    def compute_objective(metrics):
        return metrics["eval_loss"] * trainer.state.global_step

    if trained:
        trainer.train()
    notes.write_text("")
    there = run(trainer, executor=elsewhere, compute_objective=compute_objective)
    assert set(notes.read_text().split()) == {"True"}
    assert outcomes(there) == outcomes(run(trainer, compute_objective=compute_objective))


def test_callbacks_come_as_they_are_here(make_trainer, elsewhere, tmp_path):
    """Those removed stay removed, and none hears a second time that its Trainer was built."""
    notes = tmp_path / "notes"
    trainer = make_trainer(
        num_train_epochs=6,
        callbacks=[Notes(notes), EarlyStoppingCallback(early_stopping_patience=1)],
        metric_for_best_model="eval_loss",
        learning_rate=0.5,
    )
    notes.write_text("")
    space = {"learning_rate": hpsearch.Categorical([1.5, 0.5])}
    there = run(trainer, space, executor=elsewhere)
    assert "init" not in notes.read_text()
    assert outcomes(there) == outcomes(run(trainer, space))
    assert min(len(trial.intermediate) for trial in there.trials) < 6
    types_here = [type(callback) for callback in trainer.callback_handler.callbacks]
    recipe = cloudpickle.loads(cloudpickle.dumps(TrainerObjective(trainer)))._recipe
    built = [type(callback) for callback in recipe.trainer.callback_handler.callbacks]
    assert built == types_here
    assert PrinterCallback not in built


def test_what_was_changed_on_the_trainer_travels(make_trainer, elsewhere, toys):
    trainer = make_trainer()
    trainer.train_dataset = toys.make_data(30, seed=5)
    trainer.compute_metrics = lambda prediction: {"mean": float(prediction[0].mean())}
    trainer.args.weight_decay = 0.3
    trainer.model_accepts_loss_kwargs = True
    trainer.scale = 3.0

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        loss = outputs["loss"] * self.scale
        return (loss, outputs) if return_outputs else loss

    trainer.compute_loss = types.MethodType(compute_loss, trainer)
    options = {"compute_objective": lambda metrics: metrics["eval_loss"] + metrics["eval_mean"]}
    assert outcomes(run(trainer, executor=elsewhere, **options)) == outcomes(
        run(trainer, **options)
    )


def test_a_seq2seq_trainer_travels(tiny_t5, elsewhere):
    trainer = tiny_t5()
    assert outcomes(run(trainer, LR, 2, elsewhere)) == outcomes(run(trainer, LR, 2))


def test_a_factory_travels(make_trainer, elsewhere):
    def factory(trial):
        return make_trainer(learning_rate=trial["learning_rate"] / 2)

    there = run(space=LR, trainer_factory=factory, executor=elsewhere)
    assert outcomes(there) == outcomes(run(space=LR, trainer_factory=factory))


def test_a_space_function_knows_elsewhere_what_it_returned(make_trainer, search, elsewhere):
    def space(trial):
        exponent = trial.suggest_float("exponent", -3, -1)
        return {"learning_rate": 10**exponent}

    there = search(make_trainer(), space, executor=elsewhere)
    assert there.objective == search(make_trainer(), space).objective
    assert there.trial.attrs["arguments"].keys() == {"learning_rate"}


class PruneFirst:
    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return trial.number == 0


def test_pruning_reaches_elsewhere(make_trainer, elsewhere):
    study = run(make_trainer(), executor=elsewhere, plugins=[PruneFirst()])
    here = run(make_trainer(), plugins=[PruneFirst()])
    assert [trial.state for trial in study.trials] == ["pruned", "complete", "complete"]
    assert [trial.intermediate for trial in study.trials] == [t.intermediate for t in here.trials]


class OwnClass(Trainer):
    pass


class OwnConstructor(Trainer):
    def __init__(self, *args, power=2, **kwargs):
        super().__init__(*args, **kwargs)


def test_a_class_with_a_constructor_of_its_own_needs_a_factory(make_trainer, search, elsewhere):
    trainer = make_trainer(cls=OwnConstructor)
    with pytest.raises(ArgumentError, match=r"OwnConstructor has a constructor.*trainer_factory="):
        search(trainer, LR, executor=elsewhere)


def test_an_argument_refused_elsewhere_is_refused_here(make_trainer, search, elsewhere, toys):
    trainer = make_trainer(model_init=lambda trial: toys.Net())
    with pytest.raises(ArgumentError, match="'widht' is searched and changes nothing"):
        search(trainer, {"widht": hpsearch.Int(3, 5)}, executor=elsewhere, n_trials=5)


def test_a_model_that_cannot_be_built_elsewhere_fails_the_trial(
    make_trainer, search, elsewhere, toys
):
    """The error is a trial's, with its traceback, and not the process's."""
    home = os.getpid()

    def model_init():
        if os.getpid() != home:
            raise RuntimeError("no model here")
        return toys.Net()

    with pytest.raises(SearchFailedError) as caught:
        search(make_trainer(model_init=model_init), LR, executor=elsewhere)
    assert "no model here" in caught.value.study.trials[0].error.traceback


LOCK = threading.Lock()


def holds_a_lock(*_args):
    return {"a": 1.0, "b": LOCK}


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda t: setattr(t, "compute_metrics", holds_a_lock), "the Trainer's compute_metrics"),
        (lambda t: t.add_callback(Notes(LOCK)), "the Trainer's callback Notes"),
        (lambda t: setattr(t, "train_dataset", [LOCK]), "the Trainer's train_dataset"),
        (lambda t: setattr(t, "note", LOCK), "the Trainer's note"),
        (lambda t: setattr(t.args, "note", LOCK), "the Trainer's args"),
    ],
    ids=["compute_metrics", "callback", "train_dataset", "attribute", "args"],
)
@pytest.mark.parametrize("trained", [False, True])
def test_what_cannot_travel_is_named(make_trainer, elsewhere, spoil, named, trained):
    trainer = make_trainer()
    if trained:
        trainer.train()
    spoil(trainer)
    with pytest.raises(ArgumentError, match=f"cannot go there: {named} .*lock") as caught:
        dump_evaluation(Evaluate(TrainerObjective(trainer), None, 1), cloudpickle.Pickler)
    assert str(caught.value).count(";") == 0


@pytest.mark.parametrize("name", ["hp_name", "compute_objective"])
def test_a_function_of_the_search_that_cannot_travel_is_named(make_trainer, elsewhere, name):
    objective = TrainerObjective(make_trainer(), **{name: holds_a_lock})
    with pytest.raises(ArgumentError, match=f"cannot go there: {name} uses 'LOCK'"):
        dump_evaluation(Evaluate(objective, None, 1), cloudpickle.Pickler)


@pytest.mark.parametrize("held", [1, LOCK])
def test_trainers_pickle_as_before_afterwards(make_trainer, held):
    trainer = make_trainer(cls=OwnClass)
    trainer.note = held
    objective = TrainerObjective(trainer)
    with contextlib.suppress(ArgumentError):
        dump_evaluation(Evaluate(objective, None, 1), cloudpickle.Pickler)
    assert OwnClass not in copyreg.dispatch_table


class InTurns(Executor):
    """Two processes that take trials in turn."""

    n_workers = 1

    def __init__(self, processes):
        self.processes = processes

    def open(self, history, evaluate):
        for process in self.processes:
            process.open(history, evaluate)

    def submit(self, trial):
        self.current = self.processes[trial.number % 2]
        self.current.submit(trial)

    def wait(self):
        return self.current.wait()

    def close(self):
        pass


def test_trials_of_one_name_in_two_processes_do_not_share_a_folder(
    make_trainer, elsewhere, other_processes
):
    trainer = make_trainer(save_strategy="epoch")
    study = run(
        trainer, n_trials=4, executor=InTurns(other_processes), hp_name=lambda trial: "same"
    )
    names = [trial.attrs["run_name"] for trial in study.trials]
    assert names == ["same", "same-1", "same-2", "same-3"]
    assert len({trial.attrs["checkpoint"] for trial in study.trials}) == 4
