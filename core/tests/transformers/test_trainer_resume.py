"""Going on from checkpoints, as population-based training does: what is new is in force."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainerCallback

from hpsearch.errors import ArgumentError
from hpsearch.execution.evaluate import Evaluate
from hpsearch.plugins.backend import Capabilities
from hpsearch.study.channel import Channel
from hpsearch.study.record import TrialRecord
from hpsearch.study.study import BestRun, Study
from hpsearch.transformers import TrainerObjective, load_best_model


class Storage(Channel):
    """A channel that copies each checkpoint handed in, as Ray does, and stops where it is told."""

    def __init__(self, folder, stop_at=None):
        self.folder = folder
        self.stop_at = stop_at
        self.values = {}
        self.copies = {}
        self.facts = {}

    def of(self, record):
        self.record = record
        return self

    def report(self, step, values, checkpoint=None):
        self.record.report(step, values)
        self.values[step] = values[0]
        if checkpoint is not None:
            self.copies[step] = str(self.folder / str(len(list(self.folder.iterdir()))))
            shutil.copytree(checkpoint, self.copies[step])
        return step == self.stop_at

    def annotate(self, name, value):
        self.facts[name] = value

    def stop(self):
        raise AssertionError


@pytest.fixture
def segment(tmp_path_factory):
    """Run a trial, or a part of one, and return its outcome and what its channel heard."""
    folder = tmp_path_factory.mktemp("storage")

    def run(trainer, params, resume_from=None, *, number=0, stop_at=None, **options):
        objective = TrainerObjective(trainer, **options)
        earlier = TrialRecord(99)
        earlier.annotate("search", "of this test")  # so that all parts belong to one search
        capabilities = Capabilities(checkpoints=True)
        study = Study("study", ["minimize"], capabilities=capabilities, trials=[earlier])
        objective.prepare(study)
        payload = {"number": number, "id": str(number), "params": params, "study_seed": 1}
        storage = Storage(folder, stop_at)
        outcome = Evaluate(objective, None, 1)({**payload, "resume_from": resume_from}, storage.of)
        if outcome.exception is not None:
            raise outcome.exception
        return outcome, storage

    return run


class Rates(TrainerCallback):
    """Keeps the optimiser's hyperparameters of each step, and whether it has learnt already."""

    def __init__(self):
        self.seen = {}
        self.learnt = {}

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        groups = optimizer.param_groups
        self.seen[state.global_step] = [(group["lr"], group["weight_decay"]) for group in groups]
        self.learnt[state.global_step] = bool(optimizer.state)


def kept(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/checkpoint-*"))


LR = {"learning_rate": 0.05}


def test_each_evaluation_is_reported_with_its_checkpoint(make_trainer, segment, tmp_path):
    _, heard = segment(make_trainer(num_train_epochs=3), LR)
    assert list(heard.copies) == list(heard.values) == [3, 6, 9]
    for copy in heard.copies.values():
        assert {"optimizer.pt", "scheduler.pt", "trainer_state.json"} < {
            path.name for path in Path(copy).iterdir()
        }
    assert kept(tmp_path) == ["run-0/checkpoint-9"]
    assert heard.facts["checkpoint"] == str(tmp_path / "run-0" / "checkpoint-9")


def test_what_the_trainer_saves_by_itself_stays(make_trainer, segment, tmp_path):
    segment(make_trainer(num_train_epochs=3, save_strategy="epoch"), LR)
    assert kept(tmp_path) == [f"run-0/checkpoint-{step}" for step in (3, 6, 9)]


@pytest.mark.parametrize("size", [4, 8])
def test_a_trial_that_goes_on_is_the_trial_that_never_stopped(make_trainer, segment, size):
    trainer = make_trainer(num_train_epochs=4)
    params = {**LR, "per_device_train_batch_size": size, "seed": 3}
    whole, heard = segment(trainer, params)
    steps = list(heard.values)
    first, before = segment(trainer, params, stop_at=steps[1], number=1)
    assert first.state == "pruned"
    again, after = segment(trainer, params, before.copies[steps[1]], number=1)
    assert {**before.values, **after.values} == heard.values
    assert again.objectives == whole.objectives


def test_new_rates_and_decays_are_in_force(make_trainer, segment):
    rates = Rates()
    trainer = make_trainer(num_train_epochs=4, warmup_steps=2, callbacks=[rates])
    new = {"learning_rate": 0.01, "weight_decay": 0.2}
    segment(trainer, new, number=1)
    fresh = dict(rates.seen)
    _, donor = segment(trainer, {"learning_rate": 0.3, "weight_decay": 0.0}, stop_at=6)
    rates.seen.clear()
    segment(trainer, new, donor.copies[6], number=1)
    assert rates.seen == {step: fresh[step] for step in range(6, 12)}
    assert rates.learnt[6]  # the moments of Adam came along


def tiny_vit():
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(
        ViTConfig(
            image_size=4,
            patch_size=2,
            num_channels=1,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
        )
    )


def test_a_rate_of_zero_leaves_the_donors_model(make_trainer, segment):
    """A Trainer of 5.x that resumes this architecture loads none of its weights, and only warns."""
    pixels = torch.randn(16, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = [{"pixel_values": image, "labels": int(image.sum() > 0)} for image in pixels]
    trainer = make_trainer(model_init=tiny_vit, train_dataset=data, eval_dataset=data)
    _, donor = segment(trainer, {"learning_rate": 0.3}, stop_at=2)
    _, heard = segment(trainer, {"learning_rate": 0.0}, donor.copies[2], number=1)
    assert set(heard.values.values()) == {donor.values[2]}


class Loads(Trainer):
    """Loads its checkpoints in its own way, from the folder alone."""

    def _load_from_checkpoint(self, path):
        self.model.load_state_dict(load_file(Path(path, "model.safetensors")))


class Wide(PreTrainedModel):
    """Takes an argument of its own, so ``from_pretrained`` cannot build it."""

    config_class = PretrainedConfig

    def __init__(self, config, width):
        super().__init__(config)
        self.body, self.head = nn.Linear(4, width), nn.Linear(width, 2)
        self.post_init()

    def forward(self, x, labels=None):
        logits = self.head(self.body(x).relu())
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


@pytest.mark.parametrize("cls", [Trainer, Loads])
def test_a_model_of_ones_own_goes_on_from_the_donors_weights(make_trainer, segment, cls):
    trainer = make_trainer(cls=cls, model_init=lambda: Wide(PretrainedConfig(), 5))
    _, donor = segment(trainer, {"learning_rate": 0.3}, stop_at=3)
    _, heard = segment(trainer, {"learning_rate": 0.0}, donor.copies[3], number=1)
    assert set(heard.values.values()) == {donor.values[3]}
    assert heard.facts["continued"] == donor.copies[3]


@pytest.mark.parametrize("taken_from", [None, "last", "best"])
def test_the_model_that_counts_is_loaded_after_going_on(make_trainer, segment, taken_from):
    """With load_best_model_at_end the Trainer loads back what is best by its own metric."""
    trainer = make_trainer(num_train_epochs=6, save_strategy="epoch", load_best_model_at_end=True)
    options = {"objective_from": taken_from}
    _, donor = segment(trainer, {"learning_rate": 0.5}, stop_at=6, **options)
    other, heard = segment(trainer, {"learning_rate": 0.4}, donor.copies[6], number=1, **options)
    again, own = segment(trainer, {"learning_rate": 0.5}, donor.copies[6], **options)
    for number, outcome, facts in ((1, other, heard.facts), (0, again, own.facts)):
        best = TrialRecord(number)
        best.objectives, best.attrs = outcome.objectives, facts
        load_best_model(trainer, BestRun.of(best))
        assert trainer.evaluate()["eval_loss"] == outcome.objectives[0]


def test_a_new_batch_size_is_in_force(make_trainer, segment):
    """22 examples are 3 batches of 8 and 11 of 2."""
    rates = Rates()
    trainer = make_trainer(num_train_epochs=3, callbacks=[rates])
    _, donor = segment(trainer, {"per_device_train_batch_size": 8}, stop_at=3)
    rates.seen.clear()
    small = {"per_device_train_batch_size": 2}
    _, heard = segment(trainer, small, donor.copies[3], number=1)
    assert list(rates.seen) == list(range(11, 33))
    assert list(heard.values) == [22, 33]


def test_a_new_number_of_epochs_is_in_force(make_trainer, segment):
    trainer = make_trainer()
    _, donor = segment(trainer, {"num_train_epochs": 2}, stop_at=3)
    _, longer = segment(trainer, {"num_train_epochs": 4}, donor.copies[3], number=1)
    assert list(longer.values) == [6, 9, 12]
    outcome, done = segment(trainer, {"num_train_epochs": 1}, donor.copies[3], number=2)
    assert done.values == {}
    assert outcome.objectives == (donor.values[3],)


def test_another_optimiser_starts_anew(make_trainer, segment):
    rates = Rates()
    trainer = make_trainer(callbacks=[rates], num_train_epochs=3)
    _, donor = segment(trainer, {"optim": "adamw_torch"}, stop_at=3)
    rates.learnt.clear()
    _, heard = segment(trainer, {"optim": "adafactor"}, donor.copies[3], number=1)
    assert list(heard.values) == [6, 9]
    assert not rates.learnt[3]


def test_a_schedule_that_follows_the_loss_goes_on(make_trainer, segment):
    rates = Rates()
    trainer = make_trainer(
        num_train_epochs=3, lr_scheduler_type="reduce_lr_on_plateau", callbacks=[rates]
    )
    _, donor = segment(trainer, {"learning_rate": 0.3}, stop_at=3)
    rates.seen.clear()
    segment(trainer, {"learning_rate": 0.02}, donor.copies[3], number=1)
    assert rates.seen[3][0][0] == 0.02


def test_the_best_evaluation_counts_as_long_as_its_parameters_do(make_trainer, segment):
    """Here an earlier epoch is a better one."""
    trainer = make_trainer(num_train_epochs=4)
    options = {"objective_from": "best", "compute_objective": lambda metrics: metrics["epoch"]}
    _, donor = segment(trainer, LR, stop_at=6, **options)
    again, heard = segment(trainer, LR, donor.copies[6], **options)
    assert again.objectives == (1.0,)
    assert heard.facts["checkpoint"].endswith("run-0/checkpoint-3")
    assert Path(heard.facts["checkpoint"]).is_dir()
    exploited, _ = segment(trainer, {"learning_rate": 0.1}, donor.copies[6], **options)
    assert exploited.objectives == (3.0,)


def test_files_stay_bounded_however_often_a_trial_goes_on(make_trainer, segment, tmp_path):
    trainer = make_trainer(num_train_epochs=8)
    _, donor = segment(trainer, LR, number=1, stop_at=3)
    _, heard = segment(trainer, {"learning_rate": 0.2}, stop_at=9)
    _, heard = segment(trainer, LR, donor.copies[3], stop_at=6)
    _, heard = segment(trainer, LR, heard.copies[6])
    assert kept(tmp_path) == ["run-0/checkpoint-24", "run-1/checkpoint-3"]
    assert heard.facts["checkpoints"] == [str(tmp_path / "run-0" / "checkpoint-24")]


def test_the_checkpoint_is_of_the_evaluation_that_counts(make_trainer, segment):
    trainer = make_trainer(num_train_epochs=3)
    _, donor = segment(trainer, LR, stop_at=3)
    outcome, heard = segment(trainer, {"learning_rate": 0.1}, donor.copies[3], number=1)

    best = TrialRecord(1)
    best.objectives, best.attrs = outcome.objectives, heard.facts
    load_best_model(trainer, BestRun.of(best))
    assert trainer.evaluate()["eval_loss"] == outcome.objectives[0]


def test_a_checkpoint_stays_as_it_was(make_trainer, segment):
    trainer = make_trainer(num_train_epochs=3)
    _, donor = segment(trainer, LR, stop_at=3)
    files = {path: path.read_bytes() for path in Path(donor.copies[3]).iterdir()}
    segment(trainer, {"per_device_train_batch_size": 2}, donor.copies[3], number=1)
    assert {path: path.read_bytes() for path in Path(donor.copies[3]).iterdir()} == files


@pytest.mark.parametrize(
    "changes",
    [
        {"save_only_model": True},
        {"save_strategy": "best", "metric_for_best_model": "eval_loss"},
    ],
)
def test_checkpoints_that_nothing_can_go_on_from_are_refused(make_trainer, segment, changes):
    with pytest.raises(ArgumentError, match=f"{next(iter(changes))} is .*goes on from checkpoints"):
        segment(make_trainer(**changes), LR)
