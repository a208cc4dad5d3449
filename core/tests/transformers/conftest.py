"""Tiny models, data and Trainers, and how to compare two trainings to the last bit."""

import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import cloudpickle
import pytest
import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from hpsearch.execution.executor import Executor
from hpsearch.execution.messages import answer
from hpsearch.execution.pickling import dump_evaluation
from hpsearch.study.serial import outcome_from_dict, payload_of
from hpsearch.transformers.snapshot import freeze_gc

COSTS = ("_runtime", "_per_second", "_time")


@pytest.fixture(autouse=True, scope="session")
def one_thread_and_frozen_gc():
    torch.set_num_threads(1)
    with freeze_gc():
        yield


@pytest.fixture(autouse=True)
def own_precision(monkeypatch):
    """Arguments of transformers 4 say the precision to the whole process by this variable."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")


class Net(nn.Module):
    """A classifier small enough to train in milliseconds; its dropout makes the seed matter."""

    def __init__(self, width=8):
        super().__init__()
        self.inner = nn.Linear(4, width)
        self.outer = nn.Linear(width, 2)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x, labels=None):
        logits = self.outer(self.dropout(self.inner(x).relu()))
        loss = nn.functional.cross_entropy(logits, labels) if labels is not None else None
        return {"loss": loss, "logits": logits}


def new_net():
    return Net()


def make_data(count=22, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 4, generator=generator)
    return [{"x": x, "labels": int(x.sum() > 0)} for x in inputs]


def make_arguments(folder, cls=TrainingArguments, **changes):
    defaults = {
        "output_dir": str(folder),
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "eval_strategy": "epoch",
        "num_train_epochs": 2,
        "learning_rate": 0.05,
    }
    return cls(**{**defaults, **changes})


@pytest.fixture
def make_trainer(tmp_path):
    """Build a Trainer: keywords that the Trainer takes go to it, the others to its arguments."""

    def make(*, cls=Trainer, **changes):
        own = ("model", "model_init", "train_dataset", "eval_dataset", "compute_metrics")
        own += ("callbacks", "data_collator", "compute_loss_func")
        given = {name: changes.pop(name) for name in own if name in changes}
        given.setdefault("train_dataset", make_data())
        given.setdefault("eval_dataset", make_data(16, seed=1))
        if "model" not in given:
            given.setdefault("model_init", new_net)
        trainer = cls(args=make_arguments(changes.pop("folder", tmp_path), **changes), **given)
        trainer.remove_callback(PrinterCallback)
        return trainer

    return make


class Weights(TrainerCallback):
    """Keeps each training's final weights, in a list of its user's."""

    def __init__(self, kept):
        self.kept = kept

    def on_train_end(self, args, state, control, model=None, **kwargs):
        self.kept.append({name: value.clone() for name, value in model.state_dict().items()})


def train_fresh(trainer):
    """Train a new Trainer and return its weights and its evaluation, without what it cost."""
    kept = []
    trainer.add_callback(Weights(kept))
    trainer.train()
    return kept[0], without_costs(trainer.evaluate())


def without_costs(metrics):
    return {name: value for name, value in metrics.items() if not name.endswith(COSTS)}


def same_weights(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture
def toys():
    """The helpers above, since test folders are no packages to import from."""
    return Toys


class Toys:
    Net = Net
    new_net = staticmethod(new_net)
    Weights = Weights
    make_arguments = staticmethod(make_arguments)
    make_data = staticmethod(make_data)
    train_fresh = staticmethod(train_fresh)
    without_costs = staticmethod(without_costs)
    same_weights = staticmethod(same_weights)


@pytest.fixture
def search(make_trainer):
    """``hyperparameter_search`` on the random backend, quiet and seeded."""
    from hpsearch.transformers import hyperparameter_search

    def run(trainer=None, hp_space=None, **options):
        options = {"backend": "random", "seed": 0, "n_trials": 1, "progress": False, **options}
        return hyperparameter_search(trainer, hp_space, **options)

    return run


@pytest.fixture
def tiny_bert():
    """Build a Trainer of a real model of transformers, from a config of a few thousand weights."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )

    def model_init():
        return BertForSequenceClassification(config)

    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 32, (16, 8), generator=generator)
    data = [{"input_ids": row, "labels": int(row[0] > 15)} for row in tokens]

    def make(make_trainer, **changes):
        return make_trainer(model_init=model_init, train_dataset=data, eval_dataset=data, **changes)

    return make


@pytest.fixture
def tiny_t5(tmp_path):
    """Build a Seq2SeqTrainer whose metric is how many tokens it generated."""
    from transformers import (
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
        T5Config,
        T5ForConditionalGeneration,
    )

    config = T5Config(
        vocab_size=16,
        d_model=8,
        d_kv=4,
        d_ff=8,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    )

    def model_init():
        return T5ForConditionalGeneration(config)

    tokens = torch.randint(2, 16, (6, 5), generator=torch.Generator().manual_seed(0))
    data = [{"input_ids": row, "labels": row} for row in tokens]

    def tokens_generated(prediction):
        predictions = prediction.predictions
        ids = predictions[0] if isinstance(predictions, tuple) else predictions
        return {"tokens": float(ids.size + ids.astype("float64").sum())}

    def make(**changes):
        changes = {"predict_with_generate": True, "generation_max_length": 6, **changes}
        trainer = Seq2SeqTrainer(
            args=make_arguments(tmp_path, Seq2SeqTrainingArguments, **changes),
            model_init=model_init,
            train_dataset=data,
            eval_dataset=data,
            compute_metrics=tokens_generated,
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    return make


WORKER = """
import pickle
from functools import partial
from hpsearch.execution.messages import MessageChannel
from hpsearch.study.serial import outcome_to_dict

def ask(message):
    pipe.send(message)
    return pipe.recv()

while (job := pipe.recv()) is not None:
    if isinstance(job, bytes):
        evaluate = pickle.loads(job)
    else:
        outcome = evaluate(job, partial(MessageChannel, send=ask))
        pipe.send({"outcome": outcome_to_dict(outcome)})
"""


class Elsewhere(Executor):
    """An executor whose trials run, one after the other, in a spawned process that stays."""

    n_workers = 1

    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self.process = context.Process(target=exec, args=(WORKER, {"pipe": far}), daemon=True)
        self.process.start()
        far.close()

    def open(self, history, evaluate):
        self.history = history
        self.pipe.send(dump_evaluation(evaluate, cloudpickle.Pickler))

    def submit(self, trial):
        self.trial = trial
        self.pipe.send(payload_of(trial))

    def wait(self):
        while "outcome" not in (message := self.pipe.recv()):
            self.pipe.send(answer(self.history, self.trial, message))
        return self.trial, outcome_from_dict(message["outcome"])

    def close(self):
        pass

    def end(self):
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


@pytest.fixture(scope="session")
def other_processes():
    """Two processes that know nothing of each other, with one thread each as here."""
    os.environ["OMP_NUM_THREADS"] = "1"
    processes = [Elsewhere(), Elsewhere()]
    yield processes
    for process in processes:
        process.end()


@pytest.fixture
def elsewhere(other_processes, request):
    """The executor of another process."""
    modules = sys.modules[__name__], request.module
    for module in modules:  # no package holds them, so another process could not import them
        cloudpickle.register_pickle_by_value(module)
    yield other_processes[0]
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture
def modules_travel(request, monkeypatch):
    """Workers cannot import a test's file, and one thread there makes the numbers those of here."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    modules = sys.modules[__name__], request.module
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    yield
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)


RANKS = Path(__file__).parent / "ranks"


@pytest.fixture(scope="module")
def torchrun(module_programs):
    """Start a script of the folder ``ranks`` in two processes that train together, on gloo."""

    def start(script, *arguments):
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        launcher += ["--nproc_per_node", "2"]
        return _start(module_programs, *launcher, RANKS / script, *arguments)

    return start


@pytest.fixture
def two_processes(programs, free_port):
    """The same without a launcher, as a cluster's own scheduler starts them; rank 0 first."""

    def start(script, *arguments):
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port), "WORLD_SIZE": "2"}
        return [
            _start(
                programs,
                *(sys.executable, RANKS / script, *arguments),
                **where,
                RANK=str(rank),
                LOCAL_RANK=str(rank),
            )
            for rank in range(2)
        ]

    return start


@pytest.fixture
def free_port():
    """A port for a server on 127.0.0.1 that binds it with SO_REUSEADDR; nobody else is given it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _start(programs, *command, **variables):
    return programs.start(
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )
