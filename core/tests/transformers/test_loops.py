"""``hpsearch.search`` around training loops that are not a Trainer's: accelerate, Lightning."""

import sys

import cloudpickle
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hpsearch

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SPACE = {"lr": hpsearch.Float(1e-3, 1.0, log=True), "batch_size": hpsearch.Categorical([4, 8])}


def data():
    inputs = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    return TensorDataset(inputs, (inputs.sum(1) > 0).long())


def accelerate_loop(trial):
    """Train by accelerate, report each epoch and keep the model."""
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    set_seed(0)
    accelerator = Accelerator(cpu=True)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=trial["lr"])
    loader = DataLoader(data(), batch_size=trial["batch_size"], shuffle=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for epoch in range(3):
        for inputs, labels in loader:
            accelerator.backward(nn.functional.cross_entropy(model(inputs), labels))
            optimizer.step()
            optimizer.zero_grad()
        loss = validation_loss(accelerator.unwrap_model(model))
        trial.report(loss, epoch)
        if trial.should_prune():
            raise hpsearch.TrialPruned
    accelerator.free_memory()
    return loss


def validation_loss(model):
    with torch.no_grad():
        inputs, labels = data().tensors
        return nn.functional.cross_entropy(model(inputs), labels).item()


def lightning_loop(trial):
    """Train by Lightning, and let a callback report each validation."""
    import pytorch_lightning as lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(4, 2)

        def training_step(self, batch):
            inputs, labels = batch
            return nn.functional.cross_entropy(self.net(inputs), labels)

        def validation_step(self, batch):
            inputs, labels = batch
            self.log("loss", nn.functional.cross_entropy(self.net(inputs), labels))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=trial["lr"])

    class Reports(lightning.Callback):
        def on_validation_end(self, trainer, module):
            trial.report(trainer.callback_metrics["loss"], trainer.current_epoch)
            if trial.should_prune():
                raise hpsearch.TrialPruned

    lightning.seed_everything(0, verbose=False)
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        callbacks=[Reports()],
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(data(), batch_size=trial["batch_size"], shuffle=True)
    trainer.fit(Module(), loader, DataLoader(data(), batch_size=32))
    return trainer.callback_metrics["loss"]


LOOPS = {"accelerate": accelerate_loop, "pytorch_lightning": lightning_loop}


@pytest.fixture(params=LOOPS)
def loop(request, monkeypatch):
    pytest.importorskip(request.param)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    module = sys.modules[__name__]  # a worker cannot import it
    cloudpickle.register_pickle_by_value(module)
    yield LOOPS[request.param]
    cloudpickle.unregister_pickle_by_value(module)


def search(loop, **options):
    options = {"backend": "random", "seed": 1, "n_trials": 3, "progress": False, **options}
    return hpsearch.search(loop, SPACE, **options)


def facts(study):
    return [(str(t.state), t.objectives, t.intermediate) for t in study.trials]


class PrunesTheSecond:
    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return trial.number == 1


def test_a_loop_is_searched_and_pruned_and_trains_the_same_in_a_worker(loop):
    study = search(loop, plugins=[PrunesTheSecond()])
    assert [str(trial.state) for trial in study.trials] == ["complete", "pruned", "complete"]
    assert [list(trial.intermediate) for trial in study.trials] == [[0, 1, 2], [0], [0, 1, 2]]
    assert study.best.objective == min(t.objective for t in study.trials if t.objective is not None)
    there = search(loop, plugins=[PrunesTheSecond()], executor="process", n_workers=1)
    assert facts(there) == facts(study)


def test_the_best_trial_of_a_loop_is_trained_again(loop):
    best = search(loop).best
    again = search(loop, n_trials=1, enqueue=[best], seed=9).best
    assert again.hyperparameters == best.hyperparameters
    assert again.objective == best.objective
