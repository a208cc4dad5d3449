"""One experiment of the server: its suggestions, observations and training runs."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from plugins.sigopt.tests.sigopt_server.definition import Refusal, bad, refuse_unknown
from plugins.sigopt.tests.sigopt_server.draws import draw

Document = dict[str, Any]

KINDS: dict[str, tuple[type, ...]] = {
    "double": (int, float),
    "int": (int,),
    "categorical": (str,),
}
"""What a parameter's value is, by the parameter's type."""

RUN_KEYS = (
    "assignments",
    "datasets",
    "deleted",
    "logs",
    "metadata",
    "model",
    "name",
    "project",
    "source_code",
    "state",
    "values",
)

ENDED = ("completed", "failed")
"""The states in which a training run is an observation."""


@dataclass
class Experiment:
    """What a client creates, and all that follows from it. Identifiers come from the server."""

    id: int
    client: int
    project: str | None
    definition: Document
    runs_only: bool
    ids: Iterator[int]
    rng: random.Random
    state: str = "active"
    suggestions: dict[int, Document] = field(default_factory=dict)
    observations: dict[int, Document] = field(default_factory=dict)
    runs: dict[int, Document] = field(default_factory=dict)

    def document(self) -> Document:
        """Return it as the API shows it."""
        return {
            **self.definition,
            "object": "aiexperiment" if self.runs_only else "experiment",
            "id": self.id,
            "client": self.client,
            "project": self.project,
            "state": self.state,
            "runs_only": self.runs_only,
            "development": False,
            "progress": self._progress(),
        }

    def suggest(self, body: Mapping[str, Any], *, automatic: bool = False) -> Document:
        """Make a suggestion, of the server's own or with the assignments that are given."""
        if self.runs_only and not automatic:
            raise Refusal(HTTPStatus.FORBIDDEN, "Suggestions: please create runs instead")
        refuse_unknown(body, ("assignments", "metadata"))
        check_metadata(body)
        drawn = body.get("assignments") or draw(self.definition, len(self.suggestions), self.rng)
        self._check(drawn)
        suggestion: Document = {
            "object": "suggestion",
            "id": next(self.ids),
            "experiment": self.id,
            "assignments": drawn,
            "metadata": body.get("metadata"),
            "state": "open",
            "created": int(time.time()),
        }
        self.suggestions[suggestion["id"]] = suggestion
        return suggestion

    def forget(self, chosen: Sequence[int]) -> None:
        """Delete open suggestions: the chosen ones, or all."""
        for identifier in chosen or list(self.suggestions):
            if self.suggestions[identifier]["state"] == "open":
                del self.suggestions[identifier]

    def observe(self, body: Mapping[str, Any], *, automatic: bool = False) -> Document:
        """Take what came of a suggestion, or of assignments that the client chose."""
        if self.runs_only and not automatic:
            raise Refusal(HTTPStatus.FORBIDDEN, "Observations: please create runs instead")
        refuse_unknown(body, ("suggestion", "assignments", "values", "value", "failed", "metadata"))
        check_metadata(body)
        given = [key for key in ("suggestion", "assignments") if body.get(key) is not None]
        if len(given) != 1:
            raise bad("Must provide exactly one of `suggestion`, `assignments`")
        suggestion = None
        if given == ["suggestion"]:
            suggestion = self.suggestions.get(int(body["suggestion"]))
            if suggestion is None:
                raise bad(f"No suggestion {body['suggestion']} in experiment {self.id}")
        values = self._values(body)
        assignments = suggestion["assignments"] if suggestion else body["assignments"]
        self._check(assignments)
        if suggestion is not None:
            suggestion["state"] = "closed"
        observation = {
            "object": "observation",
            "id": next(self.ids),
            "experiment": self.id,
            "suggestion": suggestion and suggestion["id"],
            "assignments": assignments,
            "values": values,
            "failed": body.get("failed") is True,
            "metadata": body.get("metadata"),
            "created": int(time.time()),
        }
        self.observations[observation["id"]] = observation
        return observation

    def begin_run(self, body: Mapping[str, Any]) -> Document:
        """Create a training run: one that asks for a suggestion, or one that has ended."""
        if not self.runs_only:
            raise Refusal(HTTPStatus.FORBIDDEN, f"Experiment {self.id} cannot create training runs")
        refuse_unknown(body, RUN_KEYS)
        check_metadata(body)
        run: Document = {
            "object": "training_run",
            "id": next(self.ids),
            "client": self.client,
            "project": self.project,
            "experiment": self.id,
            "state": "active",
            "assignments": {},
            "values": {},
            "suggestion": None,
            "observation": None,
            "checkpoints": [],
            **{key: value for key, value in body.items() if value is not None},
        }
        if run["state"] not in ENDED:
            known = {key: run["assignments"][key] for key in run["assignments"]}
            suggestion = self.suggest({"assignments": known} if known else {}, automatic=True)
            run |= {"suggestion": suggestion["id"], "assignments": suggestion["assignments"]}
        self.runs[run["id"]] = run
        self.update_run(run, {}, merge=True)
        return run

    def update_run(self, run: Document, body: Mapping[str, Any], *, merge: bool) -> None:
        """Change a run; one that ends becomes an observation, once."""
        refuse_unknown(body, RUN_KEYS)
        check_metadata(body)
        if merge:
            merge_into(run, body)
        else:
            run.update(body)
        if run["state"] not in ENDED or run["observation"] is not None:
            return
        names = [metric["name"] for metric in self.definition["metrics"]]
        failed = run["state"] == "failed" or any(name not in run["values"] for name in names)
        by_name = [{"name": name, **run["values"].get(name, {})} for name in names]
        source = "assignments" if run["suggestion"] is None else "suggestion"
        told = {"failed": True} if failed else {"values": by_name}
        run["observation"] = self.observe({source: run[source], **told}, automatic=True)["id"]

    def best(self) -> list[Document]:
        """Return the best observation, or the Pareto front of two metrics."""
        candidates = [item for item in self.observations.values() if self._is_allowed(item)]
        optimized = [item for item in self.definition["metrics"] if item["strategy"] == "optimize"]
        signs = {item["name"]: -1 if item["objective"] == "minimize" else 1 for item in optimized}
        ranked = [(self._scores(item, signs), item) for item in candidates]
        front = [item for scores, item in ranked if not any(beats(s, scores) for s, _ in ranked)]
        return front[:1] if len(signs) == 1 else front

    def _progress(self) -> Document:
        observed, last = len(self.observations), list(self.observations.values())[-1:]
        if not self.runs_only:
            return {
                "object": "progress",
                "observation_count": observed,
                "observation_budget_consumed": observed,
                "last_observation": last[0] if last else None,
            }
        ended = sum(run["state"] in ENDED for run in self.runs.values())
        budget = self.definition["budget"]
        return {
            "object": "progress",
            "finished_run_count": ended,
            "active_run_count": len(self.runs) - ended,
            "total_run_count": len(self.runs),
            "remaining_budget": None if budget is None else budget - len(self.runs),
        }

    def _values(self, body: Mapping[str, Any]) -> list[Document]:
        metrics = self.definition["metrics"]
        values = body.get("values") or []
        if body.get("value") is not None:
            values = [{"name": metrics[0]["name"], "value": body["value"]}]
        if body.get("failed") is True:
            if values:
                raise bad("Cannot provide `values` if observation has failed")
            return []
        names = sorted(value.get("name") or "" for value in values)
        if names != [metric["name"] or "" for metric in metrics]:
            raise bad(f"An observation needs a value for each metric, and was given {names}")
        return [{"object": "metric_evaluation", **value} for value in values]

    def _check(self, assignments: Mapping[str, Any]) -> None:
        known = {item["name"]: item for item in self.definition["parameters"]}
        conditionals = {item["name"] for item in self.definition["conditionals"]}
        for name, value in assignments.items():
            if name in conditionals or value is None:
                continue
            if name not in known:
                raise bad(f"Unknown parameter {name}")
            if not isinstance(value, KINDS[known[name]["type"]]):
                raise bad(f"Invalid assignment of parameter {name}: {value!r}")
        missing = sorted(
            name for name in known if name not in assignments and not known[name].get("conditions")
        )
        if missing:
            raise bad(f"Missing parameters: {', '.join(missing)}")

    def _is_allowed(self, observation: Document) -> bool:
        if observation["failed"]:
            return False
        values = {item.get("name"): item["value"] for item in observation["values"]}
        return all(
            values[metric["name"]] <= metric["threshold"]
            if metric["objective"] == "minimize"
            else values[metric["name"]] >= metric["threshold"]
            for metric in self.definition["metrics"]
            if metric["strategy"] == "constraint"
        )

    def _scores(self, observation: Document, signs: Mapping[str, int]) -> list[float]:
        values = {item.get("name"): item["value"] for item in observation["values"]}
        return [sign * values[name] for name, sign in signs.items()]


def check_metadata(body: Mapping[str, Any]) -> None:
    """Refuse metadata that is not flat: names with texts, numbers or nothing."""
    for name, value in (body.get("metadata") or {}).items():
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise bad(f"Invalid metadata {name}: {value!r} is not a string or a number")


def beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one is at least as good in all, and better in some."""
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def merge_into(document: Document, changes: Mapping[str, Any]) -> None:
    """Put changes into a document, mappings into mappings; this is what MERGE means."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            merge_into(document[key], value)
        else:
            document[key] = value
