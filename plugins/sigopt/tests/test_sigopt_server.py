"""The server itself: SigOpt's own client, unmodified, works with it as its users wrote."""

from __future__ import annotations

import math
from typing import Any

import pytest
import sigopt
from sigopt.exception import ApiException, ProjectNotFoundException
from sigopt.factory import SigOptFactory

from plugins.sigopt.tests.sigopt_server.server import SigOptServer

PARAMETERS: list[dict[str, Any]] = [
    {"name": "x", "type": "double", "bounds": {"min": -1.0, "max": 1.0}},
    {
        "name": "lr",
        "type": "double",
        "bounds": {"min": 1e-6, "max": 1e-1},
        "transformation": "log",
    },
    {"name": "n", "type": "int", "bounds": {"min": 1, "max": 4}},
    {"name": "kind", "type": "categorical", "categorical_values": ["4", "8"]},
]
METRICS: list[dict[str, Any]] = [
    {"name": "objective", "objective": "minimize", "strategy": "optimize"}
]


@pytest.fixture
def connection(server: SigOptServer) -> sigopt.Connection:
    return sigopt.Connection(client_token=server.token, api_url=server.url)


def test_the_loop_of_suggestions_and_observations(server, connection):
    experiment = connection.experiments().create(
        name="huggingface-tune",
        parameters=PARAMETERS,
        metrics=METRICS,
        parallel_bandwidth=1,
        observation_budget=5,
        project="huggingface",
    )
    values = {}
    while experiment.progress.observation_count < experiment.observation_budget:
        suggestion = connection.experiments(experiment.id).suggestions().create()
        value = suggestion.assignments["x"] ** 2
        observation = (
            connection.experiments(experiment.id)
            .observations()
            .create(suggestion=suggestion.id, values=[{"name": "objective", "value": value}])
        )
        values[observation.id] = value
        experiment = connection.experiments(experiment.id).fetch()
    best = list(connection.experiments(experiment.id).best_assignments().fetch().iterate_pages())
    assert len(values) == 5
    assert [best[0].id, best[0].values[0].value] == list(min(values.items(), key=lambda i: i[1]))
    assert set(best[0].assignments) == {"x", "lr", "n", "kind"}


def test_the_loop_of_runs(server, connection):
    factory = SigOptFactory("huggingface", connection)
    experiment = factory.create_experiment(
        name="huggingface-tune",
        type="offline",
        parameters=PARAMETERS,
        metrics=METRICS,
        parallel_bandwidth=1,
        budget=4,
    )
    seen = []
    for number, run in enumerate(experiment.loop()):
        if number == 2:
            with pytest.raises(ZeroDivisionError), run:
                raise ZeroDivisionError
            continue
        with run:
            seen.append(abs(run.params.x))
            run.log_checkpoint({"objective": 1.0})
            run.log_metric("objective", seen[-1])
    best = next(iter(experiment.get_best_runs()))
    assert best.values["objective"].value == abs(best.assignments["x"]) == min(seen)
    assert [run.state for run in experiment.get_runs()] == [
        "completed",
        "failed",
        "completed",
        "completed",
    ]
    kept = list(server.experiments[0].observations.values())
    assert [item["failed"] for item in kept] == [False, False, True, False]
    assert ("MERGE", f"/v1/training_runs/{best.id}") in server.requests


def test_an_experiment_of_runs_takes_no_suggestions(server, connection):
    experiment = SigOptFactory("huggingface", connection).create_experiment(
        name="n", parameters=PARAMETERS, metrics=METRICS
    )
    with pytest.raises(ApiException, match="please create runs instead"):
        connection.experiments(experiment.id).suggestions().create()


def test_draws_have_the_bounds_the_scale_and_the_types(server, connection):
    experiment = connection.experiments().create(name="n", parameters=PARAMETERS, metrics=METRICS)
    draws = [
        dict(connection.experiments(experiment.id).suggestions().create().assignments)
        for _ in range(300)
    ]
    assert all(-1 <= draw["x"] <= 1 for draw in draws)
    assert {draw["n"] for draw in draws} == {1, 2, 3, 4}
    assert {draw["kind"] for draw in draws} == {"4", "8"}
    below = sum(math.log10(draw["lr"]) < -3.5 for draw in draws) / len(draws)
    assert 0.4 < below < 0.6


def test_a_grid_conditionals_and_linear_constraints(server, connection):
    grid = connection.experiments().create(
        name="grid",
        type="grid",
        parameters=[{"name": "x", "type": "double", "grid": [0.1, 0.3]}, PARAMETERS[3]],
        metrics=METRICS,
    )
    suggestions = connection.experiments(grid.id).suggestions()
    assert grid.observation_budget == 4
    drawn = [suggestions.create().assignments for _ in range(4)]
    assert {(draw["x"], draw["kind"]) for draw in drawn} == {
        (x, kind) for x in (0.1, 0.3) for kind in ("4", "8")
    }
    conditional = connection.experiments().create(
        name="conditional",
        parameters=[PARAMETERS[0], {**PARAMETERS[2], "conditions": {"depth": ["deep"]}}],
        conditionals=[{"name": "depth", "values": ["flat", "deep"]}],
        linear_constraints=[
            {"type": "greater_than", "threshold": 0.0, "terms": [{"name": "x", "weight": 1.0}]}
        ],
        metrics=METRICS,
    )
    suggestions = connection.experiments(conditional.id).suggestions()
    draws = [suggestions.create().assignments for _ in range(20)]
    assert all((draw["depth"] == "deep") == (draw["n"] is not None) for draw in draws)
    assert all(draw["x"] > 0 for draw in draws)


def test_lists_come_page_by_page(monkeypatch, server, connection):
    monkeypatch.setattr(server.service, "page_size", 2)
    experiment = connection.experiments().create(name="n", parameters=PARAMETERS, metrics=METRICS)
    created = [connection.experiments(experiment.id).suggestions().create().id for _ in range(5)]
    listed = connection.experiments(experiment.id).suggestions().fetch().iterate_pages()
    assert [item.id for item in listed] == created[::-1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"project": "elsewhere"}, "the project does not exist"),
        (
            {"parameters": [{**PARAMETERS[2], "transformation": "log"}]},
            "only valid for .* `double`",
        ),
        ({"parameters": [{**PARAMETERS[3], "categorical_values": ["4"]}]}, "at least 2"),
        ({"metrics": [METRICS[0], {"name": "second"}]}, "observation_budget is required"),
        ({"budget": 3}, "Unknown keys were provided: budget"),
    ],
)
def test_it_refuses_what_sigopt_refuses(connection, changed, message):
    given = {"name": "n", "parameters": PARAMETERS, "metrics": METRICS, **changed}
    with pytest.raises(ApiException, match=message):
        connection.experiments().create(**given)


def test_wrong_names_and_tokens_have_their_status(server, connection):
    with pytest.raises(ApiException) as unknown:
        connection.experiments(7).fetch()
    assert unknown.value.status_code == 404
    with pytest.raises(ProjectNotFoundException):
        SigOptFactory("elsewhere", connection).create_experiment(
            name="n", parameters=PARAMETERS, metrics=METRICS
        )
    stranger = sigopt.Connection(client_token="wrong", api_url=server.url)
    with pytest.raises(ApiException) as forbidden:
        stranger.tokens("self").fetch()
    assert forbidden.value.status_code == 403
