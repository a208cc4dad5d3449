"""How a search ended, as JSON, so that it ends on every rank as on rank 0."""

from __future__ import annotations

from hpsearch.errors import (
    HpsearchError,
    RankError,
    SearchFailedError,
    SearchInterrupted,
    rebuilt,
)
from hpsearch.space.space import Space
from hpsearch.study.outcome import qualified_name
from hpsearch.study.serial import record_from_dict, record_to_dict
from hpsearch.study.study import Study
from hpsearch.transformers.ranks.store import Message


def message_of_study(study: Study) -> Message:
    """Describe a search that came to its end."""
    return {
        "study": {
            "name": study.name,
            "directions": list(study.directions),
            "n_trials": study.n_trials,
            "timeout": study.timeout,
            "seed": study.seed,
            "space": None if study.space is None else study.space.to_dict(),
            "parameter_names": study.parameter_names,
            "backend": study.backend,
            "n_workers": study.n_workers,
        },
        "chosen": study.chosen,
        "trials": [record_to_dict(trial) for trial in study.trials],
    }


def message_of_error(error: BaseException) -> Message:
    """Describe what ended a search."""
    study = getattr(error, "study", None)
    told = {"type": qualified_name(type(error)), "text": str(error)}
    return {"error": told} if study is None else {"error": told, **message_of_study(study)}


def study_of(message: Message) -> Study:
    """Return the study of a search that came to its end.

    Raises:
        HpsearchError: What ended it instead.
    """
    if "error" not in message:
        return _study(message)
    name, text = message["error"]["type"], message["error"]["text"]
    ended_with_study: dict[str, type[BaseException]] = {
        qualified_name(kind): kind for kind in (SearchFailedError, SearchInterrupted)
    }
    if "study" in message and name in ended_with_study:
        raise ended_with_study[name](text, _study(message))
    if name == KeyboardInterrupt.__name__:
        raise KeyboardInterrupt(text)
    error = rebuilt(name, text)
    if type(error) is HpsearchError and name != qualified_name(HpsearchError):
        raise RankError(f"rank 0 ended the search with {name}: {text}")
    raise error


def _study(message: Message) -> Study:
    facts = dict(message["study"])
    space = facts.pop("space")
    names = facts.pop("parameter_names")
    study = Study(
        facts.pop("name"),
        facts.pop("directions"),
        space=None if space is None else Space.from_dict(space),
        parameter_names=None if names is None else tuple(names),
        trials=[record_from_dict(data) for data in message["trials"]],
        **facts,
    )
    study.chosen = None if message["chosen"] is None else tuple(message["chosen"])
    return study
