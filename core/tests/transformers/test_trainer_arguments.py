"""Each field of TrainingArguments, set on a used Trainer, works as on a new one or is refused."""

import ast
import dataclasses
import inspect
import textwrap
import time

import pytest
import torch
from transformers import Seq2SeqTrainingArguments, Trainer, TrainerCallback, TrainingArguments

import hpsearch
from hpsearch import Float
from hpsearch.errors import ArgumentError
from hpsearch.transformers import TrainerObjective
from hpsearch.transformers.arguments import obstacle, with_values
from hpsearch.transformers.declared import check_distribution
from hpsearch.transformers.tracked import SpaceFunction

FIELDS = [field.name for field in dataclasses.fields(Seq2SeqTrainingArguments) if field.init]
PLAIN = TrainingArguments(output_dir="unused", use_cpu=True, report_to=[])

# Another value than the default, for each live field, and what it needs beside it.
VALUES = {
    "activation_checkpointing_kwargs": {"use_reentrant": False},
    "adafactor": True,
    "adam_beta1": 0.5,
    "adam_beta2": 0.9,
    "adam_epsilon": 0.1,
    "auto_find_batch_size": True,
    "average_tokens_across_devices": False,
    "batch_eval_metrics": True,
    "data_seed": 7,
    "dataloader_drop_last": True,
    "dataloader_in_order": False,
    "dataloader_multiprocessing_context": ("fork", {"dataloader_num_workers": 1}),
    "dataloader_num_workers": 1,
    "dataloader_persistent_workers": (True, {"dataloader_num_workers": 1}),
    "dataloader_pin_memory": False,
    "dataloader_prefetch_factor": (2, {"dataloader_num_workers": 1}),
    "eval_accumulation_steps": 1,
    "eval_delay": 4,
    "eval_do_concat_batches": False,
    "eval_on_start": True,
    "eval_steps": (2, {"eval_strategy": "steps"}),
    "eval_strategy": "no",
    "eval_use_gather_object": True,
    "gradient_accumulation_steps": 3,
    "gradient_checkpointing_kwargs": {"use_reentrant": False},
    "group_by_length": False,
    "learning_rate": 0.2,
    "length_column_name": "labels",
    "lr_scheduler_kwargs": ({"num_cycles": 3}, {"lr_scheduler_type": "cosine_with_restarts"}),
    "lr_scheduler_type": "constant",
    "max_grad_norm": 0.01,
    "max_steps": 3,
    "num_train_epochs": 1,
    "optim": "adafactor",
    "optim_args": ("momentum=0.9", {"optim": "sgd"}),
    "optim_target_modules": "inner",
    "past_index": -1,
    "per_device_eval_batch_size": 3,
    "per_device_train_batch_size": 3,
    "per_gpu_eval_batch_size": None,
    "per_gpu_train_batch_size": None,
    "prediction_loss_only": True,
    "remove_unused_columns": False,
    "seed": 7,
    "torch_empty_cache_steps": 1,
    "train_sampling_strategy": "sequential",
    "use_legacy_prediction_loop": True,
    "warmup_ratio": 0.5,
    "warmup_steps": 3,
    "weight_decay": 0.5,
}

# Those whose value changes the weights: that they are equal shows something.
TELLING = {
    "adafactor",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "data_seed",
    "dataloader_drop_last",
    "gradient_accumulation_steps",
    "learning_rate",
    "lr_scheduler_kwargs",
    "lr_scheduler_type",
    "max_grad_norm",
    "max_steps",
    "num_train_epochs",
    "optim",
    "optim_args",
    "per_device_train_batch_size",
    "seed",
    "train_sampling_strategy",
    "warmup_ratio",
    "warmup_steps",
    "weight_decay",
}


def is_live(name):
    return obstacle(Trainer, PLAIN, name) is None


PLAIN_FIELDS = [field.name for field in dataclasses.fields(PLAIN) if field.init]
LIVE = [name for name in PLAIN_FIELDS if is_live(name)]
# Nothing but a model that can checkpoint its activations takes these.
CHECKPOINTING = {"activation_checkpointing", "gradient_checkpointing"}


def values_of(name):
    value = VALUES[name]
    value, others = value if isinstance(value, tuple) else (value, {})
    return {name: value, **others}


def searched(trainer, values):
    """Run one trial that sets these values; define-by-run, so that any value can be set."""

    def hp_space(trial):
        trial.suggest_int("nothing", 0, 0)
        return values

    function = SpaceFunction(hp_space)
    study = hpsearch.search(
        TrainerObjective(trainer, space_function=function),
        function,
        backend="random",
        n_trials=1,
        progress=False,
    )
    return study.trials[0]


def batch_metrics(prediction, compute_result=True):
    return {"size": float(len(prediction.label_ids))} if compute_result else {}


@pytest.mark.filterwarnings("ignore:`--adafactor` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:DistributedTensorGatherer is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:SequentialDistributedSampler is deprecated:FutureWarning")
@pytest.mark.parametrize("name", [name for name in LIVE if name not in CHECKPOINTING])
def test_a_live_field_on_a_used_trainer_equals_a_fresh_one(make_trainer, toys, name, tmp_path):
    values = values_of(name)
    others = {"compute_metrics": batch_metrics} if name == "batch_eval_metrics" else {}
    kept = []
    used = make_trainer(callbacks=[toys.Weights(kept)], max_steps=2, **others)
    used.train()
    used.args.max_steps = -1
    trial = searched(used, values)
    fresh = make_trainer(folder=tmp_path / "fresh", **others, **values)
    weights, metrics = toys.train_fresh(fresh)
    assert toys.same_weights(kept[-1], weights)
    assert toys.without_costs(trial.attrs["metrics"]) == metrics
    assert trial.attrs["arguments"] == values
    if name in TELLING:
        plain, _ = toys.train_fresh(make_trainer(folder=tmp_path / "plain"))
        assert not toys.same_weights(plain, weights)


def test_loaders_that_were_kept_for_their_workers_are_made_anew(make_trainer, search):
    steps = []

    class Steps(TrainerCallback):
        def on_prediction_step(self, args, state, control, **kwargs):
            steps.append(1)

    trainer = make_trainer(
        dataloader_persistent_workers=True,
        dataloader_num_workers=1,
        eval_strategy="no",
        callbacks=[Steps()],
    )
    trainer.evaluate()
    assert len(steps) == 2
    steps.clear()
    search(trainer, {"per_device_eval_batch_size": hpsearch.Categorical([4])})
    assert len(steps) == 4
    trainer._eval_dataloaders.clear()  # ends its workers


def test_another_class_of_model_gets_the_columns_it_takes(make_trainer, search, toys):
    """A Trainer keeps the argument names of the first model that it met."""

    class Weighted(toys.Net):
        def forward(self, x, labels=None, weight=None):
            answer = super().forward(x, labels)
            seen.append(weight is not None)
            return answer

    def model_init(trial):
        return toys.Net() if trial is None or trial["kind"] == "plain" else Weighted()

    seen = []
    data = [{**row, "weight": 1.0} for row in toys.make_data(8)]
    trainer = make_trainer(model_init=model_init, train_dataset=data, eval_dataset=data)
    trainer.train()
    search(trainer, {"kind": hpsearch.Categorical(["weighted"])})
    assert seen
    assert all(seen)


def test_every_live_field_is_tested():
    assert set(LIVE) <= VALUES.keys() | CHECKPOINTING


@pytest.mark.parametrize("name", sorted(CHECKPOINTING & set(LIVE)))
def test_activations_are_checkpointed_on_a_used_trainer(make_trainer, name, tiny_bert):
    seen = []

    def hook(metrics):
        new = hasattr(trainer.model, "is_activation_checkpointing")
        kind = "is_activation_checkpointing" if new else "is_gradient_checkpointing"
        seen.append(getattr(trainer.model, kind))
        return metrics["eval_loss"]

    trainer = tiny_bert(make_trainer)
    trainer.train()
    study = hpsearch.search(
        TrainerObjective(trainer, compute_objective=hook),
        {name: hpsearch.Categorical([True, False])},
        backend="grid",
        n_trials=2,
        progress=False,
    )
    assert seen == [trial[name] for trial in study.trials for _ in trial.intermediate]


GENERATION = {
    "generation_max_length": 3,
    "generation_num_beams": 2,
    "predict_with_generate": False,
    "sortish_sampler": True,
}


@pytest.mark.parametrize("name", sorted(GENERATION))
def test_the_fields_of_seq2seq_are_live_on_its_trainer(tiny_t5, search, name):
    trainer = tiny_t5()
    trainer.train()
    value = GENERATION[name]
    space = {name: hpsearch.Categorical([value])}
    best = search(trainer, space, compute_objective=lambda m: m.get("eval_tokens", m["eval_loss"]))
    fresh = tiny_t5(**{name: value})
    fresh.train()
    metrics = fresh.evaluate()
    assert best.objective == metrics.get("eval_tokens", metrics["eval_loss"])
    if name in ("generation_max_length", "predict_with_generate"):
        assert best.objective != trainer.evaluate()["eval_tokens"]


def test_the_alias_of_a_field_is_refused_for_the_field(make_trainer, search):
    if "activation_checkpointing" not in FIELDS:
        pytest.skip("4.x has no alias")
    with pytest.raises(ArgumentError, match="copies it from 'activation_checkpointing'"):
        search(make_trainer(), {"gradient_checkpointing": hpsearch.Categorical([True, False])})


@pytest.mark.parametrize("name", [name for name in PLAIN_FIELDS if not is_live(name)])
def test_any_other_field_is_refused_with_the_way_that_works(make_trainer, search, name):
    with pytest.raises(ArgumentError) as caught:
        search(make_trainer(), {name: hpsearch.Categorical([1, 2])})
    sentence = str(caught.value)
    assert repr(name) in sentence
    assert any(
        way in sentence
        for way in (
            "trainer_factory",
            "in a new process",
            "in the Trainer's arguments",
            "search that",
        )
    )


def test_a_generation_config_is_read_when_a_seq2seq_trainer_is_built(tiny_t5, search):
    with pytest.raises(ArgumentError, match=r"'generation_config'.*trainer_factory"):
        search(tiny_t5(), {"generation_config": hpsearch.Categorical(["a", "b"])})


def reads_of(function):
    """The fields that a function reads as `args.x` or `self.args.x`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("args", "self.args")
    } & set(FIELDS)


def test_what_a_trainers_constructor_reads_is_known():
    """So that a new version of transformers cannot add a field that is read only there."""
    read = reads_of(Trainer.__init__)
    live = {name for name in read if is_live(name)}
    # Read again in each training, or read there only to refuse bad combinations.
    assert live <= {
        "batch_eval_metrics",
        "eval_strategy",
        "group_by_length",
        "max_steps",
        "num_train_epochs",
        "seed",
    }


def test_label_smoothing_is_searched_through_a_factory(make_trainer, search, tiny_bert):
    """Set on a Trainer it changes nothing; upstream sets it all the same."""
    best = search(
        None,
        {"label_smoothing_factor": hpsearch.Categorical([0.4])},
        trainer_factory=lambda trial: tiny_bert(
            make_trainer, label_smoothing_factor=trial["label_smoothing_factor"]
        ),
    )
    smoothed = tiny_bert(make_trainer, label_smoothing_factor=0.4)
    smoothed.train()
    plain = tiny_bert(make_trainer)
    plain.train()
    assert best.objective == smoothed.evaluate()["eval_loss"] != plain.evaluate()["eval_loss"]


def test_precision_is_refused_from_a_factory_too(make_trainer, search):
    with pytest.raises(ArgumentError, match=r"'bf16' cannot be searched.*in a new process"):
        search(
            None,
            {"bf16": hpsearch.Categorical([True, False])},
            trainer_factory=lambda trial: make_trainer(bf16=trial["bf16"]),
        )


# Values and their types.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dataloader_drop_last", "False"),  # upstream: bool("False") is True
        ("dataloader_drop_last", 0),
        ("per_device_train_batch_size", 2.5),
        ("per_device_train_batch_size", "eight"),
        ("per_device_train_batch_size", True),
        ("gradient_accumulation_steps", 1.5),
        ("learning_rate", "fast"),
        ("learning_rate", None),
        ("lr_scheduler_type", "cosin"),
        ("optim", "adamm"),
        ("seed", "17.5"),
        ("seed", "9" * 400),
    ],
)
def test_a_value_of_another_type_is_refused_before_the_first_trial(
    make_trainer, search, name, value
):
    with pytest.raises(ArgumentError, match=f"'{name}' is {value!r}.*declares it as"):
        search(make_trainer(), {name: hpsearch.Categorical([value])})


@pytest.mark.parametrize(
    ("name", "value", "set_to"),
    [
        ("per_device_train_batch_size", "4", 4),  # as SigOpt's categories of the 4.34 docs
        ("per_device_train_batch_size", 4.0, 4),
        ("learning_rate", "0.01", 0.01),
        ("num_train_epochs", 2, 2),
        ("max_grad_norm", 1, 1),
        ("lr_scheduler_type", "cosine", "cosine"),
        ("optim_args", "eps=0.1", "eps=0.1"),
        ("data_seed", None, None),
    ],
)
def test_a_value_is_set_without_loss(name, value, set_to):
    changed = with_values(PLAIN, {name: value})
    assert getattr(changed, name) == set_to
    assert type(getattr(changed, name)) in (type(set_to), type(getattr(PLAIN, name)))


def test_a_float_range_for_a_whole_number_is_refused_before_the_first_trial(make_trainer, search):
    with pytest.raises(ArgumentError, match=r"'max_steps' is declared as int.*use Int"):
        search(make_trainer(), {"max_steps": hpsearch.Float(1, 4)})


def test_the_types_of_a_function_are_checked_too(make_trainer, search):
    def hp_space(trial):
        return {"max_steps": trial.suggest_float("share", 0.1, 0.9)}

    with pytest.raises(ArgumentError, match="'max_steps' is 0"):
        search(make_trainer(), hp_space, n_trials=3)


def test_a_fraction_of_warm_up_steps_is_never_rounded_to_none(make_trainer, search):
    """Upstream casts to the type of the value that was there: int(0.5) is no warm-up."""
    space = {"warmup_steps": hpsearch.Categorical([0.5])}
    if "warmup_ratio" in FIELDS:  # 4.x: a ratio has a field of its own, and steps are whole
        with pytest.raises(ArgumentError, match=r"'warmup_steps' is 0\.5.*declares it as int"):
            search(make_trainer(), space)
    else:
        best = search(make_trainer(), space)
        assert best.trial.attrs["arguments"] == {"warmup_steps": 0.5}


@pytest.mark.skipif("warmup_ratio" in FIELDS, reason="it is a field of transformers here")
def test_a_field_that_its_class_passes_on_is_set_where_it_is_read():
    @dataclasses.dataclass
    class Passing(TrainingArguments):
        warmup_ratio: float | None = None

        def __post_init__(self):
            if self.warmup_ratio is not None:
                self.warmup_steps, self.warmup_ratio = self.warmup_ratio, None
            super().__post_init__()

    given = Passing(warmup_ratio=0.1)
    assert obstacle(Trainer, given, "warmup_ratio") is None
    changed = with_values(given, {"warmup_ratio": 0.3})
    assert changed.get_warmup_steps(10) == Passing(warmup_ratio=0.3).get_warmup_steps(10) == 3


def test_values_that_transformers_refuses_together_fail_their_trial(make_trainer):
    study = hpsearch.search(
        TrainerObjective(make_trainer()),
        {"dataloader_prefetch_factor": hpsearch.Categorical([None, 2])},
        backend="grid",
        n_trials=2,
        catch=ValueError,
        progress=False,
    )
    assert [trial.state for trial in study.trials] == ["complete", "failed"]
    assert "dataloader_prefetch_factor" in study.trials[1].error.message


def test_a_value_that_does_not_stay_is_refused(make_trainer, search):
    """On the CPU transformers turns this one off again."""
    with pytest.raises(ArgumentError, match="'dataloader_pin_memory' was set to True, and.*False"):
        search(make_trainer(), {"dataloader_pin_memory": hpsearch.Categorical([True])})


def test_what_was_put_on_the_arguments_by_hand_stays():
    args = TrainingArguments(output_dir="unused", use_cpu=True, report_to=[])
    args.mine = object()
    changed = with_values(args, {"learning_rate": 1.0})
    assert changed.mine is args.mine
    assert (args.learning_rate, changed.learning_rate) == (5e-05, 1.0)
    assert changed.device is args.device


@dataclasses.dataclass
class FocalArguments(TrainingArguments):
    gamma: float = 2.0
    built_in: int = 1


class FocalTrainer(Trainer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.built = self.args.built_in

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        loss = loss**self.args.gamma
        return (loss, outputs) if return_outputs else loss


@pytest.fixture
def focal(tmp_path, toys):
    return FocalTrainer(
        args=toys.make_arguments(tmp_path, FocalArguments),
        model_init=toys.new_net,
        train_dataset=toys.make_data(),
        eval_dataset=toys.make_data(8),
    )


def test_fields_of_a_subclass_are_searched_where_they_are_read(focal, search):
    best = search(focal, {"gamma": hpsearch.Categorical([3.0])})
    focal.args.gamma = 3.0
    focal.train()
    assert best.objective == focal.evaluate()["eval_loss"]


def test_a_field_that_a_subclass_reads_in_its_constructor_needs_a_factory(focal, search):
    with pytest.raises(ArgumentError, match=r"'built_in'.*trainer_factory"):
        search(focal, {"built_in": hpsearch.Int(1, 3)})


def test_weights_are_compared_to_the_last_bit(toys):
    first = {"w": torch.tensor([1.0])}
    assert not toys.same_weights(first, {"w": torch.nextafter(first["w"], torch.tensor([2.0]))})


def test_a_range_of_many_steps_is_checked_at_once():
    begun = time.process_time()
    check_distribution(PLAIN, "learning_rate", Float(0, 2e4, step=1e-3))
    check_distribution(PLAIN, "num_train_epochs", Float(0, 1e9, step=0.5))
    with pytest.raises(ArgumentError, match="'per_device_train_batch_size' is 0.5"):
        check_distribution(PLAIN, "per_device_train_batch_size", Float(0, 1e9, step=0.5))
    assert time.process_time() - begun < 1
