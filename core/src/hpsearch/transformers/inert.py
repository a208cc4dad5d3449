"""Fields that nothing reads in a training, because of what the Trainer's other arguments are.

What an optimiser reads is not listed here: transformers is asked for the optimiser's arguments
with one value of a field and with another one, and both answers are compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from itertools import product
from types import CodeType
from typing import Any

from transformers import Seq2SeqTrainer, Trainer, TrainingArguments

from hpsearch.errors import ArgumentError
from hpsearch.transformers import arguments, compat

Choices = Mapping[str, Sequence[Any] | None]
"""The other searched fields, each with its values, or None where these are not known."""

_NUMBERS = (0.25, 0.5)
_PROBES: Mapping[str, tuple[Any, Any]] = {
    **dict.fromkeys(
        ("learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon"), _NUMBERS
    ),
    "optim_target_modules": (["a"], ["b"]),
    "warmup_steps": (25, 50),
    "warmup_ratio": _NUMBERS,
}
"""Two values of each field that may reach an optimiser."""


def reason(trainer: Trainer, name: str, choices: Choices) -> str | None:
    """Return why a field changes nothing in any trial; None where it may change something.

    Args:
        trainer: The Trainer that trains.
        name: The field.
        choices: The other fields that are searched: they may decide in each trial whether this one
            is read.
    """
    rule = next((rule for rule in _RULES if name in rule.names), None)
    if rule is None or _mentioned(trainer, name):
        return None
    searched = [other for other in rule.deciders if other in choices and other != name]
    values = [choices[other] for other in searched]
    if None in values:
        return None
    found = None
    for chosen in product(*(known for known in values if known is not None)):
        try:
            args = arguments.with_values(trainer.args, dict(zip(searched, chosen, strict=True)))
        except (ArgumentError, ValueError):  # a trial with these values fails, and says why
            return None
        found = rule.why(trainer, args, name)
        if found is None:
            return None
    return found


# The rules: each returns why a field is not read with these arguments, or None.


def _length(_trainer: Trainer, args: TrainingArguments, _name: str) -> str | None:
    if args.max_steps > 0:
        return f"max_steps is {args.max_steps}, which alone says how long a training is"
    return None


def _evaluations(_trainer: Trainer, args: TrainingArguments, _name: str) -> str | None:
    strategy = getattr(args.eval_strategy, "value", args.eval_strategy)
    return None if strategy == "steps" else f"eval_strategy is {strategy!r}"


def _generation(trainer: Trainer, args: TrainingArguments, _name: str) -> str | None:
    if isinstance(trainer, Seq2SeqTrainer) and getattr(args, "predict_with_generate", True):
        return None
    return "evaluations generate nothing without predict_with_generate=True"


def _optimizer(trainer: Trainer, args: TrainingArguments, name: str) -> str | None:
    methods = ("create_optimizer", "create_optimizer_and_scheduler", "get_optimizer_cls_and_kwargs")
    if args.deepspeed or _overridden(trainer, *methods):
        return None
    if trainer.model_init is None and trainer.optimizer is not None:
        return "the Trainer was given an optimizer, which has values of its own"
    given = trainer.optimizer_cls_and_kwargs
    if given is not None:
        if name == "weight_decay" and not compat.groups_parameters(given[1]):
            return None
        return "the Trainer was given optimizer_cls_and_kwargs, which count instead"
    if name not in _PROBES or _reaches_optimizer(trainer, args, name) is not False:
        return None
    return f"optim is {getattr(args.optim, 'value', args.optim)!r}, which does not read it"


def _schedule(trainer: Trainer, args: TrainingArguments, name: str) -> str | None:
    if args.deepspeed or _overridden(trainer, "create_scheduler", "create_optimizer_and_scheduler"):
        return None
    if trainer.model_init is None and trainer.lr_scheduler is not None:
        return "the Trainer was given a scheduler, which has values of its own"
    if not name.startswith("warmup") or _reaches_optimizer(trainer, args, name) is not False:
        return None
    if name == "warmup_ratio" and args.warmup_steps > 0:
        return f"warmup_steps is {args.warmup_steps}, which counts instead"
    if compat.schedule_warms_up(args.lr_scheduler_type):
        return None
    kind = getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)
    return f"lr_scheduler_type is {kind!r}, which does not read it"


class _Rule:
    """Which fields are read depending on which others."""

    def __init__(
        self,
        why: Callable[[Trainer, TrainingArguments, str], str | None],
        names: str,
        deciders: str,
    ) -> None:
        self.why = why
        self.names = frozenset(names.split())
        self.deciders = tuple(deciders.split())


_RULES = (
    _Rule(_length, "num_train_epochs", "max_steps"),
    _Rule(_evaluations, "eval_steps", "eval_strategy"),
    _Rule(_generation, "generation_max_length generation_num_beams", "predict_with_generate"),
    _Rule(
        _optimizer,
        "learning_rate weight_decay adam_beta1 adam_beta2 adam_epsilon optim optim_args "
        "optim_target_modules",
        "optim optim_args",
    ),
    _Rule(
        _schedule,
        "lr_scheduler_type lr_scheduler_kwargs warmup_steps warmup_ratio",
        "lr_scheduler_type warmup_steps optim optim_args",
    ),
)


def _reaches_optimizer(trainer: Trainer, args: TrainingArguments, name: str) -> bool | None:
    """Whether a field changes the arguments of the optimiser; None if transformers cannot say."""
    answers = []
    model: Any = trainer.model
    for value in _PROBES[name]:
        changed = copy.copy(args)
        setattr(changed, name, value)
        try:
            _, options = Trainer.get_optimizer_cls_and_kwargs(changed, model)
        except Exception:  # noqa: BLE001 - a package it needs is missing; the trial will say so
            return None
        answers.append(options)
    one, other = answers
    if name == "weight_decay" and not compat.groups_parameters(one):
        return True
    return any(
        one[key] != other.get(key) for key in one if key not in compat.PARAMETERS_OF_OPTIMIZERS
    )


def _overridden(trainer: Trainer, *methods: str) -> bool:
    return any(
        method in vars(trainer) or getattr(type(trainer), method) is not getattr(Trainer, method)
        for method in methods
    )


# Code of the user's own may read any field.


def _mentioned(trainer: Trainer, name: str) -> bool:
    """Whether code that is not transformers' own has the name of a field in it."""
    return any(_names(code, name) for code in _code_of(trainer))


def _code_of(trainer: Trainer) -> Iterator[CodeType]:
    parts = [trainer, trainer.args, *trainer.callback_handler.callbacks]
    parts += [trainer.model_init, trainer.compute_metrics, trainer.data_collator]
    parts += [trainer.compute_loss_func]
    for part in parts:
        function = getattr(part, "func", part)  # of a partial
        functions = [function, *(f for cls in type(part).__mro__ for f in _functions_of(cls))]
        for function in functions:
            code = getattr(function, "__code__", None)
            if isinstance(code, CodeType):
                yield code


def _functions_of(cls: type) -> Iterator[Any]:
    if cls.__module__.partition(".")[0] in ("transformers", "builtins", "torch", "functools"):
        return
    generated = ("__init__", "__repr__", "__eq__") if is_dataclass(cls) else ()
    for name, member in vars(cls).items():
        if name not in generated:  # these have the name of every field
            yield getattr(member, "__func__", getattr(member, "fget", member))


def _names(code: CodeType, name: str) -> bool:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    constants = [constant for constant in code.co_consts if isinstance(constant, str)]
    return name in code.co_names or name in constants or any(_names(c, name) for c in inner)
