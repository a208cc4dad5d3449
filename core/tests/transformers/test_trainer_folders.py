"""Run folders belong to one search: no other writes into them or deletes what is in them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import hpsearch
from hpsearch.errors import SearchInterrupted
from hpsearch.transformers import load_best_model
from hpsearch.transformers.folders import claim, give_up, owner

LR = {"learning_rate": hpsearch.Float(1e-3, 0.2, log=True)}


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def runs(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_second_search_leaves_the_folders_of_the_first_as_they_are(
    make_trainer, search, tmp_path, caplog, seed
):
    first = search(make_trainer(), LR, n_trials=3, keep_checkpoints=2)
    before = files(tmp_path)
    again = make_trainer(save_strategy="epoch")
    second = search(again, LR, n_trials=3, keep_checkpoints=1, seed=seed)
    assert files(tmp_path).items() >= before.items()
    for best, trainer in ((first, make_trainer()), (second, again)):
        load_best_model(trainer, best)
        assert trainer.evaluate()["eval_loss"] == best.objective
    number = second.trial.number
    assert second.trial.attrs["run_name"] in {f"run-{number}", f"run-{number}-2"}
    assert caplog.text.count("has runs that are not this search's") == 1


def test_a_second_search_from_other_processes_too(make_trainer, search, tmp_path, elsewhere):
    trainer = make_trainer(save_strategy="epoch")
    options = {"n_trials": 2, "keep_checkpoints": 1, "executor": elsewhere}
    search(trainer, LR, **options)
    before = files(tmp_path)
    for hp_name in (None, lambda trial: "run-0", lambda trial: "run-1"):
        best = search(trainer, LR, hp_name=hp_name, **options)
        assert files(tmp_path).items() >= before.items()
        load_best_model(trainer, best)
        assert trainer.evaluate()["eval_loss"] == best.objective


def test_a_run_keeps_its_plain_name_where_nothing_is_in_the_way(make_trainer, search, tmp_path):
    for _ in range(2):
        best = search(make_trainer(), LR, n_trials=2)  # nothing is saved, and no folder is left
        assert best.trial.attrs["run_name"] == f"run-{best.run_id}"
        assert runs(tmp_path) == []
    (tmp_path / "run-0").mkdir()
    search(make_trainer(save_strategy="epoch"), LR, n_trials=2)
    assert runs(tmp_path) == ["run-0", "run-1"]


def test_a_folder_of_the_users_own_is_in_the_way(make_trainer, search, tmp_path):
    (tmp_path / "run-0").mkdir()
    (tmp_path / "run-0" / "notes").write_text("keep me")
    (tmp_path / "run-1").write_text("keep me")
    search(make_trainer(save_strategy="epoch"), LR, n_trials=2)
    assert runs(tmp_path) == ["run-0", "run-0-2", "run-1", "run-1-2"]
    assert runs(tmp_path / "run-0") == ["notes"]


class Interrupt:
    """Ctrl-C in the second evaluation of a trial."""

    def __init__(self, number):
        self.number = number

    @hpsearch.hookimpl
    def hpsearch_report(self, trial):
        if trial.number == self.number and len(trial.intermediate) == 2:
            raise KeyboardInterrupt


def test_a_resumed_search_goes_on_in_its_own_folders(make_trainer, search, tmp_path):
    runs_folder = tmp_path / "runs"
    options = {"storage": tmp_path / "study.db", "resume": True, "n_trials": 4}
    changes = {"folder": runs_folder, "save_strategy": "epoch", "num_train_epochs": 3}
    with pytest.raises(SearchInterrupted):
        search(make_trainer(**changes), LR, plugins=[Interrupt(1)], **options)
    assert runs(runs_folder) == ["run-0", "run-1"]
    (runs_folder / "run-1" / "checkpoint-99").mkdir()  # as of the trial that was cut short
    (runs_folder / "run-1" / "checkpoint-mine").mkdir()
    best = search(make_trainer(**changes), LR, keep_checkpoints=4, **options)
    assert runs(runs_folder) == [f"run-{number}" for number in range(4)]
    assert not (runs_folder / "run-1" / "checkpoint-99").exists()
    assert (runs_folder / "run-1" / "checkpoint-mine").exists()
    assert len({owner(runs_folder / name)[0] for name in runs(runs_folder)}) == 1
    trainer = make_trainer(**changes)
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_a_search_resumed_in_another_folder_also_deletes_its_own_checkpoints_in_the_first(
    make_trainer, search, tmp_path
):
    options = {"storage": tmp_path / "study.db", "resume": True}
    changes = {"save_strategy": "epoch"}
    search(make_trainer(folder=tmp_path / "old", **changes), LR, n_trials=3, **options)
    search(make_trainer(folder=tmp_path / "old", **changes), LR, n_trials=1)  # of another search
    new = make_trainer(folder=tmp_path / "new", **changes)
    best = search(new, LR, n_trials=5, keep_checkpoints=1, **options)
    left = {path.parent for path in tmp_path.glob("*/*/checkpoint-*")}
    assert left == {Path(best.checkpoint).parent, tmp_path / "old" / "run-0-2"}
    load_best_model(new, best)
    assert new.evaluate()["eval_loss"] == best.objective


def test_a_retried_trial_has_a_folder_of_its_own(make_trainer, search, tmp_path):
    seen = []

    def fails_once(metrics):
        seen.append(metrics["epoch"])
        if len(seen) == 2:
            raise RuntimeError
        return metrics["eval_loss"]

    trainer = make_trainer(save_strategy="epoch")
    study = search(trainer, LR, n_trials=2, retries=1, compute_objective=fails_once).study
    assert [trial.attrs["run_name"] for trial in study.trials] == ["run-0", "run-1", "run-2"]
    assert study.trials[1].retry_of == 0


def test_of_many_that_claim_a_folder_one_gets_it(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        for count in range(50):
            folder = tmp_path / str(count) / "run-0"
            claims = list(pool.map(lambda trial: claim(folder, "a", trial), range(8)))  # noqa: B023
            assert claims.count(True) == 1
            assert owner(folder) == ("a", claims.index(True))


def test_a_folder_that_was_given_up_empty_keeps_its_name_for_its_own_search_alone(tmp_path):
    folder = tmp_path / "small"
    assert claim(folder, "a", 0)
    give_up(folder, keep_name=True)
    assert not claim(folder, "a", 1)
    assert claim(folder, "b", 1)
    assert owner(folder) == ("b", 1)
    (folder / "file").touch()
    give_up(folder)
    assert not claim(folder, "a", 0)
    assert claim(folder, "b", 1)
