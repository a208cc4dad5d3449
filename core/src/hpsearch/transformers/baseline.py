"""The arguments that a Trainer came with, as the first trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transformers import TrainingArguments

from hpsearch.errors import ArgumentError, CapabilityError, SpaceError
from hpsearch.plugins import registry
from hpsearch.transformers import arguments

if TYPE_CHECKING:
    from hpsearch.study.study import Study


def enqueue_baseline(args: TrainingArguments, study: Study) -> None:
    """Try the arguments' own values of what is searched, before anything is suggested.

    Raises:
        ArgumentError: The arguments have no such field, or its value is not in the space.
        CapabilityError: The backend takes no trials that it did not suggest.
    """
    if not study.capabilities.replay:
        raise CapabilityError(
            f"{registry.find(study.backend)} accepts no trials that it did not suggest "
            "(capability 'replay'), so baseline=True does not work with it"
        )
    study.history.enqueue(_baseline(args, study))


def _baseline(args: TrainingArguments, study: Study) -> Mapping[str, Any]:
    known = arguments.field_names(args)
    if study.space is None:
        names = study.parameter_names or ()
        return {name: _plain(getattr(args, name)) for name in names if name in known}
    params: dict[str, Any] = {}
    for name, distribution in study.space.active(params):
        if name not in known:
            raise ArgumentError(
                f"baseline=True tries what the Trainer's arguments have, and {name!r} is not "
                "among them; give enqueue=[{...}] with every parameter"
            )
        try:
            params[name] = distribution.validate(_plain(getattr(args, name)))
        except SpaceError as error:
            raise ArgumentError(
                f"baseline=True tries the Trainer's {name!r}, and {error}"
            ) from None
    return params


def _plain(value: Any) -> Any:
    """Return an enumeration's value, and a whole float such as 3.0 epochs as an int."""
    value = getattr(value, "value", value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
