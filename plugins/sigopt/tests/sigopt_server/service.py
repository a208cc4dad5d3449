"""The API: what each path and verb answers.

It follows SigOpt's own server, https://github.com/sigopt/sigopt-server, in what it accepts, what it
refuses, with which status, and in the form of its answers.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from plugins.sigopt.tests.sigopt_server.definition import (
    Refusal,
    bad,
    read_definition,
    refuse_unknown,
)
from plugins.sigopt.tests.sigopt_server.experiment import Document, Experiment

CLIENT = 1
"""The one client (in newer words: team) that the token belongs to."""


class Service:
    """The server's memory, and its answers.

    Args:
        token: The API token that it takes.
        projects: The projects that exist.
        page_size: How many items a page of a list has.
    """

    def __init__(self, token: str, projects: Iterable[str], page_size: int) -> None:
        self.token = token
        self.projects = list(projects)
        self.page_size = page_size
        self.experiments: dict[int, Experiment] = {}
        self._ids = itertools.count(1)
        self._rng = random.Random(0)

    def answer(self, method: str, path: Sequence[str], body: Document) -> Document:
        """Answer one request, whose token has been looked at.

        Raises:
            Refusal: The answer is an error.
        """
        match path:
            case ["tokens", "self"]:
                return {"object": "token", "client": CLIENT, "token": self.token}
            case ["clients", client, *rest]:
                if client != str(CLIENT):
                    raise _not_found(f"No client {client}")
                return self._of_client(method, rest, body)
            case ["experiments"] if method == "POST":
                project = body.get("project")
                if project is not None and project not in self.projects:
                    raise bad(
                        f"Could not assign to project `{project}`, the project does not exist."
                    )
                return self._create(body, project, "observation_budget")
            case ["experiments" | "aiexperiments", identifier, *rest]:
                experiment = self._find(identifier)
                return self._of_experiment(method, experiment, rest, body)
            case ["training_runs", identifier, *rest]:
                return self._of_run(method, identifier, rest, body)
        raise _not_found("No such endpoint")

    def _of_client(self, method: str, path: Sequence[str], body: Document) -> Document:
        match method, path:
            case "GET", []:
                return {"object": "client", "id": CLIENT, "name": "hpsearch"}
            case "GET", ["projects"]:
                return _pagination([_project(project) for project in self.projects])
            case "POST", ["projects"]:
                if body["id"] in self.projects:
                    raise Refusal(HTTPStatus.CONFLICT, f"Project {body['id']} already exists")
                self.projects.append(body["id"])
                return _project(body["id"])
            case _, ["projects", project, *rest] if project in self.projects:
                return self._of_project(method, project, rest, body)
            case _, ["projects", project, *_]:
                raise _not_found(f"No project {project} in client {CLIENT}")
        raise _not_found("No such endpoint")

    def _of_project(
        self, method: str, project: str, path: Sequence[str], body: Document
    ) -> Document:
        match method, path:
            case "GET", []:
                return _project(project)
            case "POST", ["aiexperiments"]:
                refuse_unknown(body, set(body) - {"project"})
                return self._create(body, project, "budget")
            case "GET", ["training_runs"]:
                wanted = {
                    int(item["value"])
                    for item in json.loads(body.get("filters", "[]"))
                    if item["field"] == "experiment" and item["operator"] == "=="
                }
                runs = [
                    run
                    for experiment in self.experiments.values()
                    if experiment.project == project and (not wanted or experiment.id in wanted)
                    for run in experiment.runs.values()
                ]
                return self._page(runs, body)
        raise _not_found("No such endpoint")

    def _of_experiment(
        self, method: str, experiment: Experiment, path: Sequence[str], body: Document
    ) -> Document:
        create: dict[str, Callable[[Mapping[str, Any]], Document]] = {
            "suggestions": experiment.suggest,
            "observations": experiment.observe,
            "training_runs": experiment.begin_run,
        }
        match method, path:
            case "GET", _:
                return self._read(experiment, path, body)
            case "PUT", []:
                experiment.definition.update(body)
                return experiment.document()
            case "DELETE", []:
                experiment.state = "deleted"
                return {}
            case "DELETE", ["suggestions", *chosen]:
                experiment.forget([int(identifier) for identifier in chosen])
                return {}
            case "POST", ["observations", "batch"]:
                return _pagination([experiment.observe(item) for item in body["observations"]])
            case "POST", [name] if name in create:
                if experiment.state == "deleted":
                    raise bad(f"Cannot create {name} for deleted experiment {experiment.id}")
                return create[name](body)
        raise _not_found("No such endpoint")

    def _read(self, experiment: Experiment, path: Sequence[str], query: Document) -> Document:
        match path:
            case []:
                return experiment.document()
            case ["suggestions"]:
                return self._page(experiment.suggestions.values(), query)
            case ["observations"]:
                return self._page(experiment.observations.values(), query)
            case ["best_assignments"]:
                return _pagination(experiment.best())
            case ["best_training_runs"]:
                by_observation = {run["observation"]: run for run in experiment.runs.values()}
                return _pagination([by_observation[item["id"]] for item in experiment.best()])
        raise _not_found("No such endpoint")

    def _of_run(
        self, method: str, identifier: str, path: Sequence[str], body: Document
    ) -> Document:
        for experiment in self.experiments.values():
            run = experiment.runs.get(int(identifier)) if identifier.isdigit() else None
            if run is None:
                continue
            match method, path:
                case "GET", []:
                    return run
                case (("PUT" | "MERGE"), []):
                    experiment.update_run(run, body, merge=method == "MERGE")
                    return run
                case "POST", ["checkpoints"]:
                    run["checkpoints"].append(body["values"])
                    return {"object": "checkpoint", "training_run": run["id"], **body}
        raise _not_found(f"No training run {identifier}")

    def _create(self, body: Document, project: str | None, budget_key: str) -> Document:
        definition = read_definition(body, budget_key)
        experiment = Experiment(
            id=next(self._ids),
            client=CLIENT,
            project=project,
            definition=definition,
            runs_only=budget_key == "budget",
            ids=self._ids,
            rng=self._rng,
        )
        self.experiments[experiment.id] = experiment
        return experiment.document()

    def _find(self, identifier: str) -> Experiment:
        if identifier.isdigit() and int(identifier) in self.experiments:
            return self.experiments[int(identifier)]
        raise _not_found(f"No experiment {identifier}")

    def _page(self, items: Iterable[Document], query: Mapping[str, Any]) -> Document:
        """Return the newest items, and where the page before them begins."""
        newest_first = sorted(items, key=lambda item: item["id"], reverse=True)
        before = int(query.get("before") or 0)
        rest = [item for item in newest_first if not before or item["id"] < before]
        page, more = rest[: self.page_size], len(rest) > self.page_size
        return _pagination(page, len(newest_first), page[-1]["id"] if more else None)


def _pagination(
    data: Sequence[Document], count: int | None = None, before: int | None = None
) -> Document:
    return {
        "object": "pagination",
        "data": list(data),
        "count": len(data) if count is None else count,
        "paging": {"before": before, "after": None},
    }


def _project(identifier: str) -> Document:
    return {"object": "project", "id": identifier, "client": CLIENT, "name": identifier}


def _not_found(message: str) -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, message)
