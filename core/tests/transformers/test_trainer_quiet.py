"""What a search of a Trainer shows."""

import logging
from contextlib import contextmanager

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PrinterCallback,
    ProgressCallback,
)
from transformers.utils import logging as transformers_logging

import hpsearch
from hpsearch.errors import ArgumentError

LR = {"learning_rate": hpsearch.Float(1e-3, 0.1)}


@pytest.fixture(autouse=True)
def as_users_have_it(monkeypatch):
    """Bars and warnings are on, whatever the environment of the tests says."""
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    bars = transformers_logging.is_progress_bar_enabled()
    level = transformers_logging.get_verbosity()
    transformers_logging.enable_progress_bar()
    transformers_logging.set_verbosity_warning()
    yield
    transformers_logging.set_verbosity(level)
    if not bars:
        transformers_logging.disable_progress_bar()


@contextmanager
def reports():
    """What the log of transformers shows in a context."""
    shown = []

    class Handler(logging.Handler):
        def emit(self, record):
            shown.append(record.getMessage())

    handler, logger = Handler(), logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        yield shown
    finally:
        logger.removeHandler(handler)


@pytest.fixture
def half_a_bert(tmp_path, make_trainer):
    """Build a Trainer whose model lacks some weights in the folder that it is loaded from."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = BertConfig(vocab_size=16, intermediate_size=8, max_position_embeddings=8, **sizes)
    BertForSequenceClassification(config).bert.save_pretrained(tmp_path / "bert")
    data = [{"input_ids": torch.arange(1, 9), "labels": n % 2} for n in range(4)]

    def model_init():
        return BertForSequenceClassification.from_pretrained(tmp_path / "bert")

    def make(**changes):
        given = {"train_dataset": data, "eval_dataset": data, "num_train_epochs": 1, **changes}
        return make_trainer(**{"disable_tqdm": False, "model_init": model_init, **given})

    make.model = model_init
    return make


def test_trainings_show_no_bars_and_no_reports_unless_wanted(half_a_bert, search, capfd):
    trainer = half_a_bert()
    callbacks = list(trainer.callback_handler.callbacks)
    capfd.readouterr()
    with reports() as shown:
        search(trainer, LR, n_trials=2)
    printed = capfd.readouterr()
    assert not shown
    assert "%|" not in printed.out + printed.err
    assert trainer.callback_handler.callbacks == callbacks
    assert transformers_logging.is_progress_bar_enabled()
    with reports() as shown:
        half_a_bert.model()
        assert len(shown) == 1
        search(trainer, LR, n_trials=2, show_training=True)
    assert len(shown) == 3
    assert "%|" in capfd.readouterr().err


def test_logs_are_not_printed_in_place_of_the_bar(half_a_bert, search, capfd):
    trainer = half_a_bert(disable_tqdm=True)
    trainer.add_callback(PrinterCallback)
    capfd.readouterr()
    search(trainer, LR)
    assert "eval_loss" not in capfd.readouterr().out
    assert any(isinstance(c, PrinterCallback) for c in trainer.callback_handler.callbacks)
    search(trainer, LR, show_training=True)
    assert "eval_loss" in capfd.readouterr().out


def test_a_bar_that_the_user_added_stays(half_a_bert, search, capfd):
    class Own(ProgressCallback):
        pass

    search(half_a_bert(callbacks=[Own()]), LR)
    assert "%|" in capfd.readouterr().err


def test_reports_that_the_user_asked_for_stay(half_a_bert, search):
    trainer = half_a_bert()
    transformers_logging.set_verbosity_info()
    with reports() as shown:
        search(trainer, LR)
    assert any("classifier" in text for text in shown)
    assert transformers_logging.get_verbosity() == logging.INFO


def test_what_a_factorys_first_model_lacks_is_reported_once(half_a_bert, search):
    def factory(trial):
        return half_a_bert(model=half_a_bert.model(), model_init=None)

    with reports() as shown:
        search(None, LR, trainer_factory=factory, n_trials=3)
    assert len(shown) == 1


def test_show_training_is_a_flag(make_trainer, search):
    with pytest.raises(ArgumentError, match="show_training is 'yes'"):
        search(make_trainer(), LR, show_training="yes")
