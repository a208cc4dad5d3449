"""Every searched name changes something, or the search ends with that name."""

import copy

import pytest

import hpsearch
from hpsearch.errors import ArgumentError, SearchFailedError
from hpsearch.transformers import TrainerObjective
from hpsearch.transformers.tracked import SpaceFunction

WIDTH = {"width": hpsearch.Int(3, 5)}


def reads_width(toys):
    return lambda trial: toys.Net(8 if trial is None else trial["width"])


def test_a_misspelt_field_is_an_error_before_the_first_trial(make_trainer, search):
    """huggingface/transformers#12831: upstream only warns, and searches nothing."""
    built = []

    def model_init(trial):
        built.append(trial)
        raise AssertionError

    trainer = make_trainer()
    trainer.model_init = model_init
    with pytest.raises(ArgumentError, match="'learnig_rate'.*Did you mean 'learning_rate'"):
        search(trainer, {"learnig_rate": hpsearch.Float(0, 1)})
    assert built == []


def test_a_misspelt_field_in_a_function_is_an_error_before_the_first_trial(make_trainer, search):
    trainer = make_trainer(
        model_init=lambda trial: None if trial else __import__("torch").nn.ReLU()
    )
    with pytest.raises(ArgumentError, match="Did you mean 'weight_decay'"):
        search(trainer, lambda trial: {"w": trial.suggest_float("weigth_decay", 0, 1)})


def test_a_name_that_nobody_could_read_is_an_error_before_the_first_trial(make_trainer, search):
    with pytest.raises(ArgumentError, match="'width'.*model_init takes no argument"):
        search(make_trainer(), WIDTH)


def test_a_name_that_model_init_did_not_read_ends_the_search(make_trainer, search, toys):
    built = []

    def ignores(trial):
        built.append(trial)
        return toys.Net(8)

    trainer = make_trainer(model_init=ignores)
    built.clear()
    with pytest.raises(ArgumentError, match=r"'width' is searched and changes nothing.*model_init"):
        search(trainer, WIDTH, n_trials=5, max_failures=99)
    assert len(built) == 1  # whatever the failure policy is


def test_the_nearest_field_is_named_for_a_name_that_nobody_read(make_trainer, search, toys):
    ignores = lambda trial: toys.Net(8)  # noqa: E731
    with pytest.raises(ArgumentError, match="Did you mean 'num_train_epochs'"):
        search(make_trainer(model_init=ignores), {"num_epochs": hpsearch.Int(1, 3)})


def test_what_the_function_returns_under_a_wrong_name_ends_the_search(make_trainer, search):
    def hp_space(trial):
        return {"decay": trial.suggest_float("weight_decay", 0.0, 0.1)}

    with pytest.raises(ArgumentError, match="'decay'"):
        search(make_trainer(), hp_space)


@pytest.mark.parametrize(
    "read",
    [
        lambda trial: trial["width"],
        lambda trial: trial.get("width"),
        lambda trial: trial.params["width"],
        lambda trial: dict(trial)["width"],
        lambda trial: {**trial.params}["width"],
        lambda trial: copy.copy(trial)["width"],
        lambda trial: trial.suggest_int("width", 3, 5),
    ],
)
def test_model_init_may_read_in_any_way(make_trainer, search, toys, read):
    widths = []

    def model_init(trial):
        widths.append(8 if trial is None else read(trial))
        return toys.Net(widths[-1])

    best = search(make_trainer(model_init=model_init), WIDTH)
    assert widths == [8, best.hyperparameters["width"]]


def test_asking_whether_a_name_is_there_is_not_reading_it(make_trainer, search, toys):
    model_init = lambda trial: toys.Net(8 if trial is None or "width" in trial else 4)  # noqa: E731
    with pytest.raises(ArgumentError, match="'width'"):
        search(make_trainer(model_init=model_init), WIDTH)


def test_model_init_with_an_optional_argument_gets_the_trial(make_trainer, search, toys):
    widths = []

    def model_init(trial=None):
        widths.append(8 if trial is None else trial["width"])
        return toys.Net(widths[-1])

    search(make_trainer(model_init=model_init), WIDTH)
    assert len(widths) == 2


def test_names_like_a_field_but_not_nearly_are_the_models(make_trainer, search, toys):
    """`lora_rank` is near `local_rank`, which no search sets."""
    model_init = lambda trial: toys.Net(4 if trial is None else trial["lora_rank"])  # noqa: E731
    best = search(make_trainer(model_init=model_init), {"lora_rank": hpsearch.Int(2, 4)})
    assert "lora_rank" in best.hyperparameters


def test_a_model_init_that_suggests_by_itself_names_the_run_with_what_it_suggested(
    make_trainer, search, toys, tmp_path
):
    """As transformers' own tests do: `hp_space` returns {}, `hp_name` is made from the params."""

    def model_init(trial):
        return toys.Net(8 if trial is None else trial.suggest_int("width", 3, 9))

    best = search(
        make_trainer(model_init=model_init),
        lambda trial: {},
        hp_name=lambda trial: f"width_{trial.params['width']}",
        n_trials=2,
        keep_checkpoints=2,
    )
    name = f"width_{best.hyperparameters['width']}"
    assert best.trial.attrs["run_name"] == name
    assert best.checkpoint.startswith(str(tmp_path / name))


def test_a_model_init_that_suggests_a_field_is_told_to_do_so_in_hp_space(
    make_trainer, search, toys
):
    def model_init(trial):
        if trial is not None:
            trial.suggest_float("learning_rate", 0.01, 0.1)
        return toys.Net()

    with pytest.raises(ArgumentError, match="suggests 'learning_rate'.*in hp_space"):
        search(make_trainer(model_init=model_init), lambda trial: {})


def test_a_name_conditional_on_another_is_checked_when_it_is_met(make_trainer, toys):
    def model_init(trial):
        return toys.Net(8 if trial is None or trial["kind"] == "small" else trial["width"])

    space = hpsearch.Space(
        {"kind": hpsearch.Categorical(["small", "large"]), **WIDTH},
        {"width": hpsearch.when(kind="large")},
    )
    study = hpsearch.search(
        TrainerObjective(make_trainer(model_init=model_init)),
        space,
        backend="random",
        n_trials=4,
        seed=1,
        progress=False,
    )
    assert {trial["kind"] for trial in study.trials} == {"small", "large"}


def test_hp_name_names_run_and_folder(make_trainer, search, tmp_path):
    best = search(
        make_trainer(save_strategy="epoch"),
        {"seed": hpsearch.Int(1, 9)},
        hp_name=lambda trial: f"seed-{trial['seed']}",
    )
    name = f"seed-{best.hyperparameters['seed']}"
    assert (tmp_path / name / "checkpoint-6").is_dir()


def test_two_trials_of_one_name_do_not_share_a_folder(make_trainer, search, caplog):
    best = search(
        make_trainer(), {"seed": hpsearch.Int(1, 9)}, hp_name=lambda _: "same", n_trials=2
    )
    assert best.trial.attrs["run_name"] in ("same", "same-1")
    assert "trial 1 is called 'same-1'" in caplog.text


@pytest.mark.parametrize("name", ["", "/etc/x", "../up", None, 3])
def test_a_name_that_is_no_folders_is_refused(make_trainer, search, name):
    with pytest.raises(ArgumentError, match="hp_name returned"):
        search(make_trainer(), {"seed": hpsearch.Int(1, 9)}, hp_name=lambda _: name)


def test_an_error_of_the_users_own_stays_what_it_is(make_trainer, search, toys):
    model_init = lambda trial: toys.Net(8 if trial is None else trial["widht"])  # noqa: E731
    with pytest.raises(SearchFailedError) as caught:
        search(make_trainer(model_init=model_init), WIDTH)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_space_function_knows_what_it_returned_for_this_trial_alone():
    """It is not called in trials whose space was read beforehand, from what it returned."""
    function = SpaceFunction(lambda trial: {"learning_rate": 0.1})
    first, second = hpsearch.TrialRecord(0), hpsearch.TrialRecord(1)
    function(first)
    assert function.returned(first) == {"learning_rate"}
    assert function.returned(second) is None
