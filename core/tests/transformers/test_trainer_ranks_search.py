"""A search under torchrun, two real ranks on gloo: what one sees, the other sees too.

All scenarios lie in ``ranks/scenarios.py`` and run in one launch, since starting one takes longer
than most of them; each rank writes down what it saw.
"""

import json

import pytest


@pytest.fixture(scope="module")
def ranks(torchrun, tmp_path_factory):
    """What each of the two ranks saw, by scenario."""
    folder = tmp_path_factory.mktemp("ranks")
    process = torchrun("scenarios.py", folder)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture
def seen(ranks):
    """What both ranks saw of a scenario, which has to be the same."""

    def seen_in(scenario):
        assert ranks[0][scenario] == ranks[1][scenario]
        return ranks[0][scenario]

    return seen_in


def states(scenario):
    return [trial["state"] for trial in scenario["trials"]]


def test_model_init_gets_the_same_trial_on_each_rank(seen):
    """huggingface/transformers#18609; an open question in huggingface/transformers#19096."""
    same = seen("same_trials")
    built, *in_trials = same["model_init"]
    assert built is None  # by the Trainer's constructor
    assert in_trials == [trial["params"] for trial in same["trials"]]
    assert len({trial["learning_rate"] for trial in in_trials}) == 4


def test_every_rank_returns_the_same_best_run_and_study(seen):
    """huggingface/transformers#27487: the other ranks had no trial and got no best run."""
    same = seen("same_trials")
    run_id, objective, hyperparameters, _ = same["best"]
    best = min(same["trials"], key=lambda trial: float.fromhex(trial["objectives"][0]))
    assert run_id == str(best["number"])
    assert objective.hex() == best["objectives"][0]
    assert hyperparameters == best["params"]
    assert same["n_of"] == [0, 4, best["number"]]


def test_objectives_are_the_same_to_the_last_bit_on_each_rank(seen):
    same = seen("same_trials")
    assert same["objectives"][2::3] == [trial["objectives"][0] for trial in same["trials"]]


def test_the_trainer_comes_back_as_given_on_each_rank(seen):
    assert seen("same_trials")["restored"] is True


def test_each_trial_starts_as_given_on_each_rank_and_the_first_one_is_trained_twice(seen):
    as_given = seen("as_given")
    assert [trial["steps"] for trial in as_given["trials"]] == [[2, 4]] * 3
    assert len({tuple(trial["objectives"]) for trial in as_given["trials"]}) == 1
    assert as_given["checked"] == [True, None, None]
    assert as_given["left"] == ["checkpoint-2", "checkpoint-4"]


def test_a_pruned_trial_stops_at_that_evaluation_on_each_rank(seen):
    """huggingface/transformers#19096, #34641: only rank 0 left the trial, and all hung."""
    pruned = seen("pruned")
    assert states(pruned) == ["pruned", "complete", "pruned", "complete"]
    assert pruned["steps"] == [[2, 4, "end"], [2, 4, 6, "end"]] * 2


def test_a_timeout_ends_the_search_on_each_rank(seen):
    """optuna/optuna#5717: the other ranks waited for a trial that never came."""
    timed_out = seen("timed_out")
    assert set(states(timed_out)) == {"complete"}


@pytest.mark.parametrize("scenario", ["failed", "factory"])
def test_a_failure_on_one_rank_or_all_fails_the_trial_and_the_search_goes_on(seen, scenario):
    """optuna/optuna#2726: an exception on one rank left the others waiting."""
    trials = seen(scenario)["trials"]
    failed = [trial for trial in trials if trial["state"] == "failed"]
    assert [trial["number"] for trial in failed] == ([1, 4, 7] if scenario == "failed" else [1])
    for trial in failed:
        assert trial["error"] == f"ValueError: boom on rank {trial['left_by_rank']}"
    if scenario == "failed":
        assert [trial["left_by_rank"] for trial in failed[:2]] == [0, 1]
        assert failed[2]["left_by_rank"] in (0, 1)  # whichever was first


def test_the_trials_after_a_failure_are_as_if_there_had_been_none(seen):
    failed, not_failed = seen("failed")["trials"], seen("not_failed")["trials"]
    assert states({"trials": not_failed}) == ["complete"] * 10
    for trial, same in zip(failed, not_failed, strict=True):
        assert trial["params"] == same["params"]
        if trial["state"] == "complete":
            assert trial["objectives"] == same["objectives"]


def test_a_failure_is_noticed_after_the_last_collective_too(seen):
    trials = seen("failed_in_the_objective")["trials"]
    assert [trial["state"] for trial in trials] == ["complete", "failed", "complete", "complete"]
    assert trials[1]["left_by_rank"] == 1


def test_a_trial_that_one_rank_alone_prunes_is_pruned(seen):
    trials = seen("pruned_by_the_user_on_one_rank")["trials"]
    assert [trial["state"] for trial in trials] == ["complete", "pruned", "complete"]


def test_a_nan_objective_fails_its_trial(seen):
    trials = seen("nan_objective")["trials"]
    assert [trial["state"] for trial in trials] == ["complete", "failed", "complete", "complete"]
    assert "nan" in trials[1]["error"]


def test_every_rank_returns_the_same_pareto_front(seen):
    several = seen("several_directions")
    assert several["numbers"] == [int(run[0]) for run in several["front"]]
    assert len(several["front"]) == 3  # the second objective is the first, turned round
    for trial in several["trials"]:
        first, second = map(float.fromhex, trial["objectives"])
        assert first == -second


def test_what_model_init_suggests_is_the_same_on_each_rank(seen):
    """An open question in huggingface/transformers#19096."""
    suggested = seen("suggested_by_model_init")
    assert suggested["widths"] == [trial["params"]["width"] for trial in suggested["trials"]]
    assert len(set(suggested["widths"])) > 1


def test_a_run_is_named_by_rank_0(seen):
    for trial in seen("suggested_by_model_init")["trials"]:
        assert trial["run_name"] == f"width-{trial['params']['width']}-on-0"


def test_a_define_by_run_space_is_called_on_rank_0_and_followed(seen):
    suggested = seen("suggested_by_hp_space")
    for trial, (rate, decay) in zip(suggested["trials"], suggested["rates"], strict=True):
        assert rate == 10.0 ** -trial["params"]["power"]
        assert decay == trial["params"]["wd"]
    assert suggested["hyperparameters"].keys() == {"power", "wd", "learning_rate", "weight_decay"}


def test_the_best_model_can_be_loaded_on_each_rank(seen):
    best = seen("best_model")
    assert best["evaluated_again"] == best["objective"]
    assert best["folders"] == [best["checkpoint"].rpartition("/")[2]]


def test_the_best_evaluation_is_loaded_and_trained_again_on_each_rank(seen):
    best = seen("best_model_loaded_back")
    first, second = best["objectives"]
    assert best["evaluated"] == [first, second, first]
    assert len(best["folders"]) == 2


def test_a_study_is_resumed_on_each_rank(seen):
    resumed = seen("resumed")
    assert resumed["again"][:2] == resumed["first"]
    assert states({"trials": resumed["again"]}) == ["complete"] * 4


def test_rank_0_alone_runs_the_search_and_writes_its_journal(ranks):
    assert ranks[0]["by_rank_0_alone"] == {"hooks": ["start", "tell"] * 2, "journal": True}
    assert ranks[1]["by_rank_0_alone"] == {"hooks": [], "journal": False}


@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        ("misspelt", "ArgumentError: 'learning_rat' is not a field"),
        ("unread", "ArgumentError: 'never_read' is searched and changes nothing"),
        (
            "not_there",
            "ArgumentError: compute_objective names 'f1', and the evaluation has 'eval_l",
        ),
        ("wrong_on_rank_1_alone", "ArgumentError: the Trainer has no eval_dataset"),
        ("each_for_itself", "ArgumentError: 2 processes were started, and the Trainer trains in"),
        ("failed_too_often", "SearchFailedError: trial 0 failed before any trial had ended well"),
        ("workers", "ArgumentError: 2 processes train each trial together"),
    ],
)
def test_a_search_is_refused_with_the_same_error_on_each_rank(seen, scenario, error):
    assert seen(scenario)["raised"].startswith(error)


def test_metrics_are_objectives_and_constraints_by_name_on_each_rank(seen):
    by_name = seen("by_name")
    for trial, limits in zip(by_name["trials"], by_name["limits"], strict=True):
        loss, again = map(float.fromhex, trial["objectives"])
        assert loss == again
        assert limits == {"loss": loss - 9.5}


def test_after_all_that_the_process_group_still_trains(seen):
    assert float.fromhex(seen("enough_of_that")["eval_loss"]) > 0


def test_folds_are_trained_and_pruned_on_all_ranks_together(seen):
    found = seen("folds")
    assert found["folds"] == [2, 3, 2, 3]
    assert [trial["state"] for trial in found["trials"]] == ["pruned", "complete"] * 2
    assert found["run_name"] in ("run-1", "run-3")
