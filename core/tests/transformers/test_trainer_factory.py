"""``trainer_factory``: any Trainer class, any parameter."""

import pytest
import torch
from torch import nn
from transformers import Trainer

import hpsearch
from hpsearch.errors import ArgumentError
from hpsearch.transformers import TrainerObjective, load_best_model, refit

LR = {"learning_rate": hpsearch.Categorical([0.02, 0.04])}


def test_what_the_factory_reads_is_its_own_affair(make_trainer, search):
    """A learning rate that the factory halves stays halved."""
    rates = []

    def factory(trial):
        return make_trainer(learning_rate=trial["learning_rate"] / 2)

    def rate(metrics):
        return metrics["eval_loss"]

    best = search(None, LR, trainer_factory=factory, compute_objective=rate)
    direct = make_trainer(learning_rate=best.hyperparameters["learning_rate"] / 2)
    direct.train()
    assert best.objective == direct.evaluate()["eval_loss"]
    assert best.trial.attrs["arguments"] == {}
    assert rates == []


def test_a_field_that_the_factory_does_not_read_is_set(make_trainer, search):
    best = search(None, LR, trainer_factory=lambda trial: make_trainer())
    direct = make_trainer(learning_rate=best.hyperparameters["learning_rate"])
    direct.train()
    assert best.objective == direct.evaluate()["eval_loss"]
    assert best.trial.attrs["arguments"] == best.hyperparameters


def test_a_name_that_the_factory_does_not_read_ends_the_search(make_trainer, search):
    with pytest.raises(ArgumentError, match=r"'learning_rat'.*Did you mean.*trainer_factory did"):
        search(
            None,
            {"learning_rat": hpsearch.Float(0, 1)},
            trainer_factory=lambda trial: make_trainer(),
            n_trials=3,
        )


def test_a_built_in_field_that_the_factory_does_not_read_is_refused(make_trainer, search):
    with pytest.raises(ArgumentError, match="'label_smoothing_factor' cannot be searched"):
        search(
            None,
            {"label_smoothing_factor": hpsearch.Float(0, 0.2)},
            trainer_factory=lambda trial: make_trainer(),
        )


def test_something_else_than_a_trainer_is_refused(search):
    with pytest.raises(ArgumentError, match="trainer_factory returned None, expected a Trainer"):
        search(None, LR, trainer_factory=lambda trial: None)


def test_a_factory_that_cannot_be_called_is_refused(search):
    with pytest.raises(ArgumentError, match="trainer_factory is 'mine'"):
        search(None, LR, trainer_factory="mine")


def test_a_baseline_needs_a_trainer(make_trainer, search):
    with pytest.raises(ArgumentError, match="enqueue="):
        search(None, LR, trainer_factory=lambda trial: make_trainer(), baseline=True)


def test_a_factory_may_suggest_by_itself(make_trainer, search):
    def factory(trial):
        return make_trainer(learning_rate=trial.suggest_float("learning_rate", 0.01, 0.1))

    best = search(None, lambda trial: {}, trainer_factory=factory, n_trials=2)
    assert 0.01 <= best.hyperparameters["learning_rate"] <= 0.1


def test_a_model_built_by_the_factory_is_the_same_in_every_replay(make_trainer, toys):
    """A Trainer with a model and no model_init: the seed is set before the factory and again."""
    space = {"seed": hpsearch.Int(1, 99), "learning_rate": hpsearch.Float(0.01, 0.1)}

    def run(n_trials, **options):
        return hpsearch.search(
            TrainerObjective(trainer_factory=lambda trial: make_trainer(model=toys.Net())),
            space,
            backend="random",
            seed=4,
            n_trials=n_trials,
            progress=False,
            **options,
        )

    study = run(3)
    torch.rand(3)
    replayed = run(1, enqueue=[study.trials[2].params])
    assert replayed.trials[0].objectives == study.trials[2].objectives
    assert replayed.trials[0].intermediate == study.trials[2].intermediate
    assert study.trials[2].attrs["training_seed"] == study.trials[2]["seed"]


def test_a_trials_seed_also_trains_a_model_that_the_factory_built(make_trainer, toys):
    """With a model and no model_init, `Trainer.train` sets no seed."""

    def factory(trial):
        model = toys.Net()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(0.1)
        return make_trainer(model=model)

    study = hpsearch.search(
        TrainerObjective(trainer_factory=factory),
        {"seed": hpsearch.Categorical([1, 2])},
        backend="grid",
        n_trials=2,
        progress=False,
    )
    first, second = study.trials
    assert first.objectives != second.objectives


def test_the_best_model_comes_back_through_the_factory(make_trainer, search):
    def factory(trial):
        return make_trainer(learning_rate=trial["learning_rate"])

    best = search(None, LR, trainer_factory=factory, n_trials=2, keep_checkpoints=1)
    assert isinstance(load_best_model(factory, best), nn.Module)
    again = refit(factory, best)
    assert isinstance(again, Trainer)
    assert again.evaluate()["eval_loss"] == best.objective


@pytest.fixture
def tokenizer():
    """A tokenizer of eight words, built here and now."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", "<unk>", "a", "cat", "dog", "sees", "runs"]
    inner = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def tiny_llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=32,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=1,
    )
    return LlamaForCausalLM(config)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_trls_sft_trainer_is_searched(search, tokenizer, tmp_path):
    """huggingface/trl#3132, #484: it takes no model_init, and peftifies the model at once."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    text = Dataset.from_dict({"text": ["a cat sees a dog", "a dog runs", "a cat runs"] * 4})

    def factory(trial):
        args = SFTConfig(
            output_dir=str(tmp_path),
            max_length=trial["max_length"],  # read while the Trainer is built
            max_steps=2,
            eval_strategy="steps",
            eval_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
        )
        return SFTTrainer(
            model=tiny_llama(),
            args=args,
            train_dataset=text,
            eval_dataset=text,
            processing_class=tokenizer,
        )

    space = {
        "max_length": hpsearch.Categorical([3, 6]),
        "learning_rate": hpsearch.Float(1e-3, 1e-1, log=True),
    }
    best = search(None, space, trainer_factory=factory, n_trials=2, keep_checkpoints=1)
    assert list(best.trial.intermediate) == [1, 2]
    assert set(best.trial.attrs["arguments"]) == {"learning_rate"}
    trainer = refit(factory, best)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(best.objective, abs=0)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_rank_of_a_lora_is_searched(make_trainer, search, tiny_bert):
    """huggingface/peft#914."""
    from peft import LoraConfig, get_peft_model

    build = tiny_bert(make_trainer).model_init

    def model_init(trial):
        rank = 2 if trial is None else trial["lora_rank"]
        config = LoraConfig(
            task_type="SEQ_CLS", r=rank, target_modules=["query"], modules_to_save=["classifier"]
        )
        return get_peft_model(build(), config)

    trainer = tiny_bert(make_trainer, label_names=["labels"])
    trainer.model_init = model_init
    ranks = []

    def objective(metrics):
        sizes = [p.shape[0] for n, p in trainer.model.named_parameters() if "lora_A" in n]
        ranks.append(sizes[0])
        return metrics["eval_loss"]

    best = search(
        trainer,
        {"lora_rank": hpsearch.Categorical([1, 3]), "learning_rate": hpsearch.Float(0.01, 0.1)},
        compute_objective=objective,
        n_trials=3,
        keep_checkpoints=1,
        seed=2,
    )
    assert set(ranks) == {1, 3}
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective
