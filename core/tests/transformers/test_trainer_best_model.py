"""The best run's model is the one that its objective was measured on, or an error says why not."""

import inspect
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    EarlyStoppingCallback,
    PretrainedConfig,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    ViTConfig,
    ViTForImageClassification,
)

import hpsearch
from hpsearch.errors import ArgumentError
from hpsearch.transformers import apply_hyperparameters, load_best_model, refit
from hpsearch.transformers.resume import read_record
from hpsearch.transformers.weights import fingerprint

pytestmark = pytest.mark.filterwarnings("ignore:mtime may not be reliable on this:UserWarning")

# With this rate the loss rises and falls from epoch to epoch, and the last is not the lowest.
RATE = {"learning_rate": hpsearch.Categorical([0.5])}
EPOCHS = {"num_train_epochs": 6}
LOADS_BEST = {"save_strategy": "epoch", "load_best_model_at_end": True}
STEPS = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps"}


def late(metrics):
    """An objective that is best, when minimized, at the first evaluation."""
    return metrics["epoch"]


def both(metrics):
    return [metrics["eval_loss"], metrics["epoch"]]


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"save_strategy": "epoch", "save_total_limit": 1}, {"objective_from": "best"}),
        ({"save_strategy": "epoch", "save_total_limit": 2}, {"objective_from": "best"}),
        ({**LOADS_BEST, "save_total_limit": 1}, {}),
        ({**LOADS_BEST, "save_total_limit": 1}, {"objective_from": "last"}),
        ({**LOADS_BEST, "save_total_limit": 1}, {"compute_objective": late}),
        (LOADS_BEST, {"compute_objective": both, "direction": ["minimize", "maximize"]}),
        ({**LOADS_BEST, "save_strategy": "best"}, {}),
        ({**LOADS_BEST, "save_strategy": "best"}, {"objective_from": "last"}),
        ({**LOADS_BEST, "save_strategy": "best"}, {"compute_objective": late}),
        ({"save_strategy": "best", "metric_for_best_model": "loss"}, {"objective_from": "best"}),
        ({**STEPS, "save_steps": 4}, {"objective_from": "best"}),
        ({**STEPS, "save_steps": 6, "load_best_model_at_end": True}, {"compute_objective": late}),
        ({**STEPS, "save_steps": 500, "max_steps": 10}, {}),
        ({"eval_on_start": True}, {"objective_from": "best", "compute_objective": late}),
        ({"eval_strategy": "no"}, {}),
        ({"eval_strategy": "no", "save_strategy": "epoch", "save_total_limit": 1}, {}),
    ],
)
def test_the_model_loaded_and_the_model_refitted_are_the_one_that_was_judged(
    make_trainer, search, changes, options
):
    trainer = make_trainer(**{**EPOCHS, **changes})
    best = search(trainer, RATE, keep_checkpoints=1, **options)
    best = best[0] if isinstance(best, list) else best
    recorded = read_record(Path(best.checkpoint))
    assert recorded["values"] == list(best.trial.objectives)
    load_best_model(trainer, best)
    judged = fingerprint(trainer)
    assert judged == recorded["weights"]
    if "compute_objective" not in options:
        assert trainer.evaluate()["eval_loss"] == best.objective
    refit(trainer, best)
    assert fingerprint(trainer) == judged
    assert trainer.args.load_best_model_at_end == changes.get("load_best_model_at_end", False)


def test_the_evaluation_that_counts_is_found_again_after_early_stopping(make_trainer, search):
    trainer = make_trainer(
        **{**EPOCHS, **LOADS_BEST}, callbacks=[EarlyStoppingCallback(1)], save_total_limit=1
    )
    best = search(trainer, {"learning_rate": hpsearch.Categorical([0.5])}, keep_checkpoints=1)
    losses = [values[0] for values in best.trial.intermediate.values()]
    assert best.objective == min(losses) < losses[-1]
    assert load_best_model(trainer, best) is trainer.model
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_loading_the_best_model_at_end_means_the_best_evaluation_and_the_log_says_so(
    make_trainer, search, caplog
):
    best = search(make_trainer(**EPOCHS, **LOADS_BEST), RATE, n_trials=2)
    assert best.objective == min(values[0] for values in best.trial.intermediate.values())
    assert caplog.text.count("load_best_model_at_end is set") == 1
    assert "the best by the objective counts" in caplog.text
    caplog.clear()
    search(make_trainer(**EPOCHS, **LOADS_BEST), RATE, objective_from="last")
    assert "load_best_model_at_end" not in caplog.text


def test_of_several_objectives_the_evaluation_counts_that_the_trainer_loads_back(
    make_trainer, search, caplog
):
    trainer = make_trainer(**EPOCHS, **LOADS_BEST)
    (best,) = search(trainer, RATE, compute_objective=both, direction=["minimize", "minimize"])
    losses = {values[0]: step for step, values in best.trial.intermediate.items()}
    assert best.objective[0] == min(losses)
    assert best.checkpoint.endswith(f"checkpoint-{losses[min(losses)]}")
    assert "the best by 'loss' counts" in caplog.text


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"save_strategy": "no"}, ""),
        (
            {**STEPS, "eval_steps": 5, "save_steps": 4, "max_steps": 12},
            "of step 5.*only of .4, 8, 12",
        ),
    ],
)
def test_where_the_evaluation_that_counts_was_not_saved_nothing_else_is_loaded(
    make_trainer, search, changes, left
):
    trainer = make_trainer(**changes)
    best = search(trainer, RATE, objective_from="best", compute_objective=late)
    assert best.checkpoint is None
    model = trainer.model
    with pytest.raises(ArgumentError, match=f"left no checkpoint.*{left}.*keep_checkpoints=1"):
        load_best_model(trainer, best)
    assert trainer.model is model


def test_another_trials_checkpoint_in_its_place_is_refused(make_trainer, search):
    trainer = make_trainer()
    space = {"learning_rate": hpsearch.Categorical([0.5, 0.01])}
    study = search(trainer, space, n_trials=4, keep_checkpoints=4).study
    other = next(trial for trial in study.trials if trial.objective != study.best.objective)
    shutil.rmtree(study.best.checkpoint)
    shutil.copytree(other.checkpoint, study.best.checkpoint)
    with pytest.raises(ArgumentError, match=f"it says that it is of trial {other.number}"):
        load_best_model(trainer, study.best)


def test_weights_that_do_not_come_back_are_named(make_trainer, search, toys):
    """A PEFT adapter without modules_to_save saves no head, and this Trainer loads none either."""

    class Forgets(Trainer):
        def _load_from_checkpoint(self, checkpoint, model=None):
            weights = load_file(Path(checkpoint, "model.safetensors"))
            weights = {name: weights[name] for name in weights if name.startswith("inner")}
            self.model.load_state_dict(weights, strict=False)

    trainer = make_trainer(cls=Forgets)
    best = search(trainer, RATE, keep_checkpoints=1)
    model = trainer.model
    with pytest.raises(ArgumentError, match="does not bring back 'outer.bias', 'outer.weight' as"):
        load_best_model(trainer, best)
    assert trainer.model is model


class Halves(TrainerCallback):
    """Evaluates other weights than it trains, as those who average weights do."""

    def __init__(self):
        self.trained = None

    def on_epoch_end(self, args, state, control, model, **kwargs):
        self.trained = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict({name: value / 2 for name, value in self.trained.items()})

    def on_evaluate(self, args, state, control, model, **kwargs):
        if self.trained is not None:
            model.load_state_dict(self.trained)
        self.trained = None


def test_weights_that_were_only_evaluated_are_not_taken_for_those_saved(make_trainer, search):
    trainer = make_trainer(callbacks=[Halves()])
    best = search(trainer, RATE, keep_checkpoints=1)
    with pytest.raises(ArgumentError, match="puts other weights in place to evaluate"):
        load_best_model(trainer, best)
    with pytest.raises(ArgumentError, match="judged by other weights than training leaves"):
        refit(trainer, best)
    assert "evaluate" not in vars(trainer)


def test_a_buffer_that_is_not_saved_is_named(make_trainer, search, toys):
    class Shifts(toys.Net):
        def __init__(self):
            super().__init__()
            self.register_buffer("shift", torch.zeros(()), persistent=False)

        def forward(self, x, labels=None):
            if self.training:
                self.shift += 0.1
            return super().forward(x + self.shift, labels)

    trainer = make_trainer(model_init=Shifts)
    best = search(trainer, RATE, keep_checkpoints=1)
    with pytest.raises(ArgumentError, match=r"does not bring back 'shift'"):
        load_best_model(trainer, best)
    assert refit(trainer, best).evaluate()["eval_loss"] == best.objective


def test_weights_trained_outside_of_the_model_are_said(make_trainer, search, caplog):
    loss = nn.Linear(2, 2)

    class Learns(Trainer):
        def create_optimizer(self, *args):
            optimizer = super().create_optimizer(*args)
            optimizer.add_param_group({"params": list(loss.parameters())})
            return optimizer

    def learnt(outputs, labels, num_items_in_batch=None):
        return nn.functional.cross_entropy(loss(outputs["logits"]), labels)

    trainer = make_trainer(cls=Learns, compute_loss_func=learnt)
    load_best_model(trainer, search(trainer, RATE, keep_checkpoints=1))
    assert "also trained 2 tensors that its model does not have" in caplog.text
    caplog.clear()
    trainer = make_trainer()
    assert not load_best_model(trainer, search(trainer, RATE, keep_checkpoints=1)).training
    assert "also trained" not in caplog.text


def test_the_best_model_of_a_study_loaded_from_its_journal(make_trainer, search, tmp_path):
    path = tmp_path / "study.db"
    best = search(make_trainer(), RATE, n_trials=2, keep_checkpoints=1, storage=path)
    trainer = make_trainer()
    load_best_model(trainer, hpsearch.load(path).best)
    assert trainer.evaluate()["eval_loss"] == best.objective
    refit(trainer, hpsearch.load(path).best)
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_the_best_model_of_a_pruned_search(make_trainer, search):
    class PruneOdd:
        @hpsearch.hookimpl
        def hpsearch_report(self, trial, step):
            return trial.number % 2 == 1 and step > 3

    trainer = make_trainer(**EPOCHS, **LOADS_BEST)
    space = {"learning_rate": hpsearch.Float(0.1, 0.5)}
    best = search(trainer, space, n_trials=4, keep_checkpoints=1, plugins=[PruneOdd()])
    assert [str(trial.state) for trial in best.study.trials] == ["complete", "pruned"] * 2
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_the_best_model_from_another_process(make_trainer, search, elsewhere):
    trainer = make_trainer(**EPOCHS, **LOADS_BEST, save_total_limit=1)
    space = {"learning_rate": hpsearch.Float(0.1, 0.5)}
    best = search(trainer, space, n_trials=3, keep_checkpoints=1, executor=elsewhere)
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective
    refit(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_a_training_that_begins_again_counts_from_there(make_trainer, search):
    """What was judged before is overwritten step by step."""

    class RunsOutOfMemoryOnce(TrainerCallback):
        def __init__(self):
            self.sizes = []

        def on_train_begin(self, args, state, control, **kwargs):
            self.sizes.append(state.train_batch_size)

        def on_step_end(self, args, state, control, **kwargs):
            if len(self.sizes) == 1 and state.global_step == 4:
                raise RuntimeError("CUDA out of memory.")

    trainer = make_trainer(
        **EPOCHS,
        auto_find_batch_size=True,
        callbacks=[RunsOutOfMemoryOnce()],
        save_strategy="epoch",
    )
    best = search(trainer, RATE, objective_from="best", compute_objective=late)
    load_best_model(trainer, best)
    recorded = read_record(Path(best.checkpoint))
    assert fingerprint(trainer) == recorded["weights"]
    assert recorded["values"] == [best.objective]


def test_a_trainer_that_trains_in_two_phases_is_judged_by_the_second(make_trainer, search, toys):
    class TwoPhases(Trainer):
        def train(self, **options):
            super().train(**options)
            return super().train(**options)

    def factory(trial):
        changes = {**EPOCHS, **LOADS_BEST, "learning_rate": trial["learning_rate"]}
        return make_trainer(cls=TwoPhases, model=toys.Net(), **changes)

    best = search(None, RATE, trainer_factory=factory, compute_objective=late)
    assert best.checkpoint.endswith("run-0/checkpoint-3")
    trainer = factory(best.trial)
    load_best_model(trainer, best)
    judged = fingerprint(trainer)
    assert fingerprint(refit(factory, best)) == judged


# Models of many kinds.


class Digits(PreTrainedModel):
    config_class = PretrainedConfig

    def __init__(self, config, width=8):
        super().__init__(config)
        self.body = nn.Linear(4, width)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, 2)
        self.post_init()

    def forward(self, x, labels=None):
        logits = self.head(self.norm(self.body(x)).relu())
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def replaced_head():
    model = Digits(PretrainedConfig())
    model.head = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    return model


class InShards(Digits):
    def save_pretrained(self, folder, **options):
        super().save_pretrained(folder, max_shard_size=200, **options)


class Wraps(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Digits(PretrainedConfig())

    def forward(self, x, labels=None):
        return self.inner(x, labels)


@pytest.mark.parametrize(
    "model_init",
    [
        lambda: Digits(PretrainedConfig()),
        lambda trial=None: Digits(PretrainedConfig(), 8 if trial is None else 16),
        replaced_head,
        lambda: InShards(PretrainedConfig()),
        Wraps,
    ],
    ids=["buffers", "constructor", "head", "shards", "wrapped"],
)
def test_weights_are_loaded_into_the_model_that_model_init_builds(make_trainer, search, model_init):
    trainer = make_trainer(model_init=model_init, save_strategy="epoch")
    best = search(trainer, RATE)
    load_best_model(trainer, best)
    assert fingerprint(trainer) == read_record(Path(best.checkpoint))["weights"]
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_pickled_weights_are_loaded(make_trainer, search):
    class Pickles(Trainer):
        def _save(self, output_dir=None, state_dict=None):
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            torch.save(self.model.state_dict(), Path(output_dir, "pytorch_model.bin"))

    trainer = make_trainer(cls=Pickles)
    best = search(trainer, RATE, keep_checkpoints=1)
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_tied_weights_are_loaded(make_trainer, search):
    config = BertConfig(
        vocab_size=32,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=8,
        tie_word_embeddings=True,
    )
    tokens = torch.randint(0, 32, (16, 4), generator=torch.Generator().manual_seed(0))
    data = [{"input_ids": row, "labels": row} for row in tokens]
    trainer = make_trainer(
        model_init=lambda: BertForMaskedLM(config), train_dataset=data, eval_dataset=data
    )
    best = search(trainer, RATE, keep_checkpoints=1)
    model = load_best_model(trainer, best)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert trainer.evaluate()["eval_loss"] == best.objective


@pytest.mark.parametrize("head", [None, 3])
def test_weights_that_are_saved_under_older_names_are_loaded(make_trainer, search, head):
    """transformers 5 saves this architecture under the names of 4, and renames them to load."""
    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=4,
        patch_size=2,
        num_channels=1,
    )

    def model_init():
        model = ViTForImageClassification(config)
        if head:
            model.classifier = nn.Sequential(nn.Linear(8, head), nn.Linear(head, 2))
        return model

    pixels = torch.randn(16, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = [{"pixel_values": image, "labels": int(image.sum() > 0)} for image in pixels]
    trainer = make_trainer(model_init=model_init, train_dataset=data, eval_dataset=data)
    best = search(trainer, RATE, keep_checkpoints=1)
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_a_checkpoint_of_another_shape_is_refused(make_trainer, search, toys):
    best = search(make_trainer(), RATE, keep_checkpoints=1)
    with pytest.raises(ArgumentError, match="does not fit the model (.|\\n)*size mismatch"):
        load_best_model(make_trainer(model_init=lambda: toys.Net(5)), best)


@pytest.mark.parametrize("parameters", [["self", "checkpoint_path"], ["self", "path", "model"]])
def test_a_trainer_that_loads_in_its_own_way_does_so(make_trainer, search, parameters):
    """sentence-transformers' Trainer takes the folder alone."""
    loaded = []

    class Own(Trainer):
        def _load_from_checkpoint(self, path, model=None):
            loaded.append(path)
            self.model.load_state_dict(load_file(Path(path, "model.safetensors")))

    if parameters[-1] != "model":
        both = Own._load_from_checkpoint
        Own._load_from_checkpoint = lambda self, checkpoint_path: both(self, checkpoint_path)
    assert list(inspect.signature(Own._load_from_checkpoint).parameters) == parameters
    trainer = make_trainer(cls=Own)
    best = search(trainer, RATE, keep_checkpoints=1)
    load_best_model(trainer, best)
    assert loaded == [best.checkpoint]
    assert trainer.evaluate()["eval_loss"] == best.objective


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_an_adapter_is_loaded_and_a_head_that_it_leaves_out_is_named(
    make_trainer, tiny_bert, search
):
    peft = pytest.importorskip("peft")

    def with_adapter(**options):
        trainer = tiny_bert(make_trainer)
        build = trainer.model_init

        def model_init():
            config = peft.LoraConfig(r=2, target_modules=["query"], **options)
            model = peft.get_peft_model(build(), config)
            for name, weight in model.named_parameters():
                weight.requires_grad |= "classifier" in name
            return model

        trainer.model_init = model_init
        return trainer

    trainer = with_adapter(modules_to_save=["classifier"])
    best = search(trainer, RATE, keep_checkpoints=1)
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective

    trainer = with_adapter()
    best = search(trainer, RATE, keep_checkpoints=1)
    with pytest.raises(ArgumentError, match=r"does not bring back 'base_model.*classifier.bias'"):
        load_best_model(trainer, best)


# Training once more.


def test_more_data_are_trained_on_for_the_same_share_of_the_steps(make_trainer, search, toys):
    trainer = make_trainer(**EPOCHS, **LOADS_BEST)
    best = search(trainer, RATE, compute_objective=late)
    assert best.trial.attrs["judged_at"] == {"step": 3, "of": 18, "training": 1}
    trainer.train_dataset = toys.make_data(44)
    refit(trainer, best)
    assert trainer.state.global_step == 6


def test_a_training_that_went_on_from_another_run_is_not_repeated(make_trainer, search):
    trainer = make_trainer()
    best = search(trainer, RATE)
    best.trial.annotate("continued", "run-1/checkpoint-3")
    with pytest.raises(ArgumentError, match="went on from another run's checkpoint"):
        refit(trainer, best)


def test_hyperparameters_applied_to_a_trainer_are_in_force(make_trainer, search, toys):
    """setattr(trainer.args, ...) leaves the batch size as it was on transformers 5."""
    kept = []

    def model_init(trial):
        return toys.Net(8 if trial is None else trial["width"])

    space = {
        "learning_rate": hpsearch.Categorical([0.2]),
        "per_device_train_batch_size": hpsearch.Categorical([2]),
        "width": hpsearch.Categorical([5]),
    }
    trainer = make_trainer(model_init=model_init)
    best = search(trainer, space)
    apply_hyperparameters(trainer, best)
    trainer.add_callback(toys.Weights(kept))
    trainer.train()
    assert trainer.state.global_step == 22
    assert trainer.model.inner.out_features == 5
    assert trainer.evaluate()["eval_loss"] == best.objective

    again = search(trainer, {"width": hpsearch.Categorical([7])}, keep_checkpoints=1)
    assert load_best_model(trainer, again).inner.out_features == 7


def test_hyperparameters_that_a_factory_read_are_applied_where_they_are_fields(
    make_trainer, search, toys, caplog
):
    def factory(trial):
        model = toys.Net(trial["width"])
        return make_trainer(model=model, learning_rate=trial["learning_rate"])

    space = {"learning_rate": hpsearch.Categorical([0.2]), "width": hpsearch.Categorical([5])}
    best = search(None, space, trainer_factory=factory)
    trainer = make_trainer()
    apply_hyperparameters(trainer, best)
    assert trainer.args.learning_rate == 0.2
    assert "'width' are not fields of TrainingArguments" in caplog.text


def test_a_field_that_cannot_act_any_more_is_not_applied(make_trainer, search, toys):
    def factory(trial):
        return make_trainer(
            model=toys.Net(), neftune_noise_alpha=trial["neftune_noise_alpha"] or None
        )

    space = {"neftune_noise_alpha": hpsearch.Categorical([0])}
    best = search(None, space, trainer_factory=factory)
    with pytest.raises(ArgumentError, match="'neftune_noise_alpha' cannot be searched"):
        apply_hyperparameters(make_trainer(), best)


@pytest.mark.parametrize("function", [load_best_model, refit, apply_hyperparameters])
def test_what_is_not_a_run_of_a_trainers_search_is_refused(make_trainer, search, function):
    trainer = make_trainer()
    best = search(trainer, RATE)
    plain = hpsearch.search(lambda trial: 1.0, RATE, backend="random", n_trials=1, progress=False)
    for wrong, message in (
        (None, "best is None, expected a BestRun"),
        (best.study, "expected a BestRun; give study.best"),
        ([best], r"expected a BestRun; give one of them, such as best\[0\]"),
        (best.trial, "expected a BestRun"),
        (plain.best, "run 0 is not one of a Trainer's search"),
    ):
        with pytest.raises(ArgumentError, match=message):
            function(trainer, wrong)
    with pytest.raises(ArgumentError, match="trainer is 'trainer', expected the Trainer"):
        function("trainer", best)
