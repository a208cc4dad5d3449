"""What a search leaves on disk, and the best model back from it."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
import torch

import hpsearch
from hpsearch.errors import ArgumentError, SpaceError
from hpsearch.study.record import TrialRecord
from hpsearch.study.trial import RESERVED
from hpsearch.transformers import TrainerObjective, load_best_model
from hpsearch.transformers.checkpoints import CheckpointKeeper
from hpsearch.transformers.tracked import RecordedTrial

LR = {"learning_rate": hpsearch.Float(1e-3, 0.2, log=True)}
RATES = [0.2, 0.001, 0.05, 0.01]


def checkpoints(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/checkpoint-*"))


def test_the_best_run_carries_its_checkpoint(make_trainer, search, tmp_path):
    """huggingface/transformers#10550, #23150."""
    best = search(make_trainer(save_strategy="epoch"), LR, n_trials=2)
    assert best.checkpoint == str(tmp_path / f"run-{best.run_id}" / "checkpoint-6")
    assert Path(best.checkpoint, "trainer_state.json").is_file()
    assert best.trial.attrs["checkpoints"] == [
        str(tmp_path / f"run-{best.run_id}" / f"checkpoint-{step}") for step in (3, 6)
    ]


def test_without_saving_there_is_no_checkpoint(make_trainer, search, tmp_path):
    best = search(make_trainer(), LR)
    assert best.checkpoint is None
    assert checkpoints(tmp_path) == []


@pytest.mark.parametrize("objective_from", ["last", "best"])
def test_the_loaded_model_gives_the_objective_again(make_trainer, search, objective_from):
    """huggingface/transformers#23120: the best model, as it was when it was judged."""
    trainer = make_trainer(num_train_epochs=6)
    space = {"learning_rate": hpsearch.Categorical([0.5, 0.4])}
    best = search(trainer, space, n_trials=2, objective_from=objective_from, keep_checkpoints=1)
    model = load_best_model(trainer, best)
    assert trainer.model is model
    assert trainer.evaluate()["eval_loss"] == best.objective


@pytest.mark.filterwarnings("ignore:mtime may not be reliable on this filesystem:UserWarning")
def test_the_best_checkpoint_of_transformers_is_found_too(make_trainer, search):
    """With load_best_model_at_end and a limit of one, the last evaluation's is not kept."""
    trainer = make_trainer(
        num_train_epochs=6,
        save_strategy="epoch",
        load_best_model_at_end=True,
        save_total_limit=1,
    )
    best = search(trainer, {"learning_rate": hpsearch.Categorical([0.5])})
    losses = {step: values[0] for step, values in best.trial.intermediate.items()}
    lowest = min(losses, key=losses.get)
    assert lowest != max(losses)
    assert best.checkpoint.endswith(f"checkpoint-{lowest}")
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == losses[lowest]


def test_a_model_of_its_own_size_is_built_before_it_is_loaded(make_trainer, search, toys):
    def model_init(trial):
        return toys.Net(8 if trial is None else trial["width"])

    trainer = make_trainer(model_init=model_init)
    best = search(trainer, {"width": hpsearch.Int(3, 5)}, n_trials=2, keep_checkpoints=1)
    assert load_best_model(trainer, best).inner.out_features == best.hyperparameters["width"]
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_a_model_of_transformers_is_loaded(make_trainer, search, tiny_bert):
    trainer = tiny_bert(make_trainer)
    best = search(trainer, LR, keep_checkpoints=1)
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective


def test_loading_says_what_to_do_where_nothing_was_saved(make_trainer, search):
    trainer = make_trainer()
    best = search(trainer, LR)
    with pytest.raises(ArgumentError, match=r"left no checkpoint.*keep_checkpoints=1.*refit"):
        load_best_model(trainer, best)


def test_loading_says_so_where_the_checkpoint_is_gone(make_trainer, search):
    trainer = make_trainer()
    best = search(trainer, LR, keep_checkpoints=1)
    for file in Path(best.checkpoint).iterdir():
        file.unlink()
    Path(best.checkpoint).rmdir()
    with pytest.raises(ArgumentError, match="is gone"):
        load_best_model(trainer, best)


def run(trainer, keep, direction="minimize", total=4, storage=None, resume=False, **options):
    return hpsearch.search(
        TrainerObjective(trainer, checkpoint=bool(keep), **options),
        {"learning_rate": hpsearch.Categorical(RATES)},
        backend="grid",
        n_trials=total,
        direction=direction,
        storage=storage,
        resume=resume,
        plugins=[CheckpointKeeper(keep)],
        progress=False,
    )


@pytest.mark.parametrize("saving", ["no", "epoch"])
@pytest.mark.parametrize(("direction", "keep"), [("minimize", 1), ("maximize", 2)])
@pytest.mark.filterwarnings("ignore:direction is 'maximize':UserWarning")
def test_only_the_best_trials_keep_theirs(make_trainer, tmp_path, saving, direction, keep):
    study = run(make_trainer(save_strategy=saving), keep, direction)
    ranked = sorted(study.trials, key=lambda t: t.objective, reverse=direction == "maximize")
    kept = {path.split("/")[0] for path in checkpoints(tmp_path)}
    assert kept == {trial.attrs["run_name"] for trial in ranked[:keep]}
    assert all(trial.attrs["checkpoint"] is None for trial in ranked[keep:])
    assert Path(study.best.checkpoint).is_dir()
    assert len(list(tmp_path.iterdir())) == keep  # no empty folders either


def test_a_trial_keeps_one_checkpoint_where_the_trainer_saves_none(make_trainer, tmp_path):
    run(make_trainer(num_train_epochs=5), 4)
    assert checkpoints(tmp_path) == [f"run-{number}/checkpoint-15" for number in range(4)]


def test_none_are_kept_on_request(make_trainer, tmp_path):
    run(make_trainer(save_strategy="epoch"), 0)
    assert list(tmp_path.iterdir()) == []


def test_pruned_and_failed_trials_keep_nothing(make_trainer, tmp_path):
    class PruneFirst:
        @hpsearch.hookimpl
        def hpsearch_report(self, study, trial, step, values):
            return trial.number == 1 and len(trial.intermediate) == 2

    def fails(metrics):
        if metrics["epoch"] == 2.0 and metrics["eval_loss"] == worst:
            raise RuntimeError
        return metrics["eval_loss"]

    trainer = make_trainer(save_strategy="epoch")
    first = run(trainer, 0)
    worst = first.trials[2].objective
    hpsearch.search(
        TrainerObjective(trainer, compute_objective=fails, checkpoint=True),
        {"learning_rate": hpsearch.Categorical(RATES)},
        backend="grid",
        n_trials=4,
        plugins=[PruneFirst(), CheckpointKeeper(4)],
        progress=False,
    )
    assert {path.split("/")[0] for path in checkpoints(tmp_path)} == {"run-0", "run-3"}


def test_the_whole_front_keeps_its_checkpoints(make_trainer, tmp_path):
    study = run(
        make_trainer(),
        1,
        ["minimize", "maximize"],
        compute_objective=lambda m: [m["eval_loss"], m["eval_loss"]],
    )
    assert len(study.best_runs) == 4
    assert all(Path(best.checkpoint).is_dir() for best in study.best_runs)


def test_a_trial_evaluated_at_its_end_keeps_its_model(make_trainer, search):
    trainer = make_trainer(eval_strategy="no")
    best = search(trainer, LR, keep_checkpoints=1)
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective


@pytest.mark.parametrize("count", [-1, 1.5, True, "all"])
def test_a_count_that_is_none_is_refused(make_trainer, search, count):
    with pytest.raises(ArgumentError, match="keep_checkpoints is"):
        search(make_trainer(), LR, keep_checkpoints=count)


def test_saving_does_not_change_the_training(make_trainer, search):
    plain, keeping = (
        search(make_trainer(), LR, n_trials=2, keep_checkpoints=keep) for keep in (None, 1)
    )
    assert plain.objective == keeping.objective


def test_folders_that_are_not_the_studys_own_are_left_alone(make_trainer, tmp_path):
    mine = tmp_path / "run-0" / "notes"
    mine.mkdir(parents=True)
    (mine / "text").write_text("keep me")
    other = tmp_path / "run-0" / "checkpoint-1"
    other.mkdir()
    run(make_trainer(), 0)
    assert (mine / "text").read_text() == "keep me"
    assert other.is_dir()


def edited(path, changes):
    """Change facts of trials in a journal, as somebody with an editor may."""
    with contextlib.closing(sqlite3.connect(path)) as journal, journal:
        for number, attrs in journal.execute("SELECT number, attrs FROM trial").fetchall():
            facts = {**json.loads(attrs), **changes.get(number, {})}
            journal.execute(
                "UPDATE trial SET attrs = ? WHERE number = ?", (json.dumps(facts), number)
            )


def planted(folder):
    """Make a folder with something in it."""
    folder.mkdir(parents=True)
    (folder / "text").write_text("keep me")
    return folder


def test_what_was_edited_into_a_journal_is_not_deleted(make_trainer, tmp_path, caplog):
    runs, outside = tmp_path / "runs", tmp_path / "outside"
    path = tmp_path / "study.db"
    options = {"storage": path, "resume": True}
    study = run(make_trainer(output_dir=str(runs), save_strategy="epoch"), 4, **options, total=2)
    own = {trial.number: runs / trial.attrs["run_name"] for trial in study.trials}
    places = {
        "elsewhere": planted(outside / "run-0" / "checkpoint-3"),
        "by dots": planted(outside / "checkpoint-3"),
        "linked": planted(outside / "linked" / "checkpoint-3"),
        "behind a linked run": planted(outside / "run" / "checkpoint-3"),
        "beside": planted(own[0] / "notes"),
        "deeper": planted(own[0] / "deep" / "checkpoint-3"),
        "of another name": planted(own[0] / "checkpoint-best"),
        "the run of another": planted(runs / "checkpoint-7"),
    }
    (own[0] / "checkpoint-99").symlink_to(places["linked"])
    (runs / "linked-run").symlink_to(outside / "run")
    folders = {
        0: {
            "checkpoints": [
                *map(str, places.values()),
                f"{own[0]}/checkpoint-99",
                f"{own[0]}/../../outside/checkpoint-3",
                f"{own[0]}/..",
                str(own[0]),
                "/",
                "",
                "checkpoint-3",
            ]
        },
        1: {"output_dir": str(outside / "run-0"), "checkpoints": [str(places["elsewhere"])]},
    }
    for output_dir in (
        str(outside / "run-0"),
        f"{runs}/../outside",
        f"{runs}/linked-run",
        str(runs),
        f"{runs}/.",
        "",
        "/",
        None,
        3,
    ):
        inside = None if output_dir is None else f"{output_dir}/checkpoint-3"
        folders[1] = {
            "output_dir": output_dir,
            "checkpoints": [inside, f"{output_dir}/checkpoint-7"],
        }
        copy = tmp_path / "copy.db"
        shutil.copy(path, copy)
        edited(copy, folders)
        run(make_trainer(output_dir=str(runs)), 0, storage=copy, resume=True, total=3)
        for place in places.values():
            assert (place / "text").read_text() == "keep me", output_dir
    assert "is left out of the rest" not in caplog.text


def test_what_a_resumed_search_may_delete_is_what_it_saved_before(make_trainer, tmp_path):
    path = tmp_path / "study.db"
    options = {"storage": path, "resume": True}
    runs = str(tmp_path / "runs")
    first = run(make_trainer(output_dir=runs, save_strategy="epoch"), 4, **options, total=3)
    assert {path.split("/")[0] for path in checkpoints(tmp_path / "runs")} == {
        "run-0",
        "run-1",
        "run-2",
    }
    study = run(make_trainer(output_dir=runs, save_strategy="epoch"), 1, **options, total=4)
    assert len(first.trials) == 3
    assert {path.split("/")[0] for path in checkpoints(tmp_path / "runs")} == {
        study.best.trial.attrs["run_name"]
    }
    assert [bool(trial.attrs["checkpoints"]) for trial in study.trials].count(True) == 1


def test_a_name_with_folders_in_it_is_deleted_below_the_trainers_own_folder(make_trainer, tmp_path):
    names = {"hp_name": lambda trial: f"lr/{trial.number}"}
    study = run(make_trainer(save_strategy="epoch"), 1, **names)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("lr/*/checkpoint-*")}
    assert {path.rpartition("/")[0] for path in left} == {study.best.trial.attrs["run_name"]}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_fact_that_decides_what_is_deleted_is_not_the_objectives_to_write(name, tmp_path):
    mine = planted(tmp_path / "checkpoint-1")

    def objective(trial):
        trial.annotate(name, [str(mine)])
        return 0.0

    study = hpsearch.search(
        objective,
        {"x": hpsearch.Float(0, 1)},
        backend="random",
        n_trials=2,
        max_failures=9,
        plugins=[CheckpointKeeper(0)],
        progress=False,
    )
    assert [trial.error.type for trial in study.trials] == ["hpsearch.errors.ArgumentError"] * 2
    assert study.trials[0].attrs == {}
    assert (mine / "text").is_file()


def test_the_weights_of_the_checkpoint_are_those_that_were_judged(make_trainer, search, toys):
    kept = []
    trainer = make_trainer(callbacks=[toys.Weights(kept)])
    best = search(trainer, LR, n_trials=2, keep_checkpoints=1)
    model = load_best_model(trainer, best)
    trained = kept[int(best.run_id)]
    assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())


def test_a_recorded_trial_names_a_parameter_that_it_did_not_have():
    trial = RecordedTrial(TrialRecord(3, params={"rate": 0.1}))
    assert trial.suggest_float("rate", 0, 1) == 0.1
    with pytest.raises(SpaceError, match="'rat' was not searched in trial 3. Did you mean 'rate'"):
        trial.suggest_float("rat", 0, 1)
