"""Which fields of TrainingArguments a search can set on a Trainer, and setting them.

A field is *live* when a Trainer that exists reads it again in each training, after its batch size
and its accelerator have been made again; nearly all are. The others are listed here with the way
that works. The tests hold this list against the installed transformers: each live field, set on a
used Trainer, gives what a new Trainer gives.
"""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, Trainer, TrainingArguments

from hpsearch.errors import ArgumentError, nearest
from hpsearch.transformers.declared import typed

_BUILT = (
    "a Trainer reads it only while it is built, so give trainer_factory, which builds one for each "
    "trial from trial[{name!r}]"
)
_BUILT_BY_FACTORY = (
    "a Trainer reads it only while it is built, so trainer_factory has to give it trial[{name!r}]"
)
_FINISHED = (
    "{args} reads it only in its __post_init__, which runs once, so give trainer_factory, which "
    "makes the arguments of each trial from trial[{name!r}]"
)
PROCESS = (
    "it sets up the whole process before the first model, so compare its values in searches of "
    "their own, each started in a new process"
)
_RUN = (
    "it says where and how the script runs and not how the model trains, so set it in the "
    "Trainer's arguments"
)
_ALIAS = "transformers copies it from {new!r}, so search that"

_NOT_LIVE = {
    _BUILT: """
        label_smoothing_factor label_names neftune_noise_alpha use_cache generation_config
        use_liger_kernel liger_kernel_config
    """,
    PROCESS: """
        fp16* bf16* tf32 half_precision_backend full_determinism use_cpu no_cuda use_mps_device
        torch_compile* torchdynamo jit_mode_eval fsdp* deepspeed parallelism_config
        accelerator_config ddp_* tpu_* mp_parameters local_rank
    """,
    _RUN: """
        output_dir overwrite_output_dir do_* log_* logging_* save_* *hub* run_name project trackio_*
        report_to disable_tqdm debug skip_memory_metrics enable_jit_checkpoint ignore_data_skip
        resume_from_checkpoint restore_callback_states_from_checkpoint ray_scope include_*
        load_best_model_at_end metric_for_best_model greater_is_better
    """,
}

_ALIASES = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
"""Old names that 5.x overwrites with the value of their new one."""

_PASSED_ON = {"warmup_ratio": "warmup_steps"}
"""Fields of 4.x that 5.x lacks, and where a ``__post_init__`` that still takes them puts them.

So it is in sentence-transformers, whose page on hyperparameter optimisation searches this one."""

_CLOSE = 0.85
"""How like a live field's name another name must be to be taken for a slip: ``warmup_step`` and
``learnig_rate`` are, ``head_learning_rate`` and ``lora_rank`` are not."""


def field_names(args: TrainingArguments) -> set[str]:
    """Return the names of all fields that the arguments' constructor takes."""
    return {field.name for field in fields(args) if field.init}


def obstacle(trainer: type[Trainer], args: TrainingArguments, name: str) -> str | None:
    """Return why a field cannot be set on a Trainer that exists, and what works; None if it can."""
    cls: Any = trainer
    made_of: Any = type(args)
    new = _ALIASES.get(name)
    if new is not None and new in field_names(args):
        return _ALIAS.format(new=new)
    for reason in _NOT_LIVE:
        if _listed_under(reason, name):
            return reason.format(name=name)
    if name in declared_by_transformers():
        return None
    if name in _read_by_constructors(cls):
        return _BUILT.format(name=name)
    if name in _read_by_post_init(made_of) and name not in _PASSED_ON:
        return _FINISHED.format(name=name, args=made_of.__name__)
    return None


def needs_process(name: str) -> bool:
    """Whether a field takes effect only in a process of its own, whoever builds the Trainer."""
    return _listed_under(PROCESS, name)


def _listed_under(reason: str, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in _NOT_LIVE[reason].split())


def check_live(
    trainer: type[Trainer], args: TrainingArguments, name: str, *, by_factory: bool = False
) -> None:
    """Raise :class:`ArgumentError` unless a search can set the field on a Trainer that exists."""
    reason = obstacle(trainer, args, name)
    if by_factory and reason == _BUILT.format(name=name):
        reason = _BUILT_BY_FACTORY.format(name=name)
    if reason is not None:
        given = "trainer_factory built" if by_factory else "given"
        raise ArgumentError(f"{name!r} cannot be searched on the Trainer {given}: {reason}")


def check_not_misspelt(trainer: type[Trainer], args: TrainingArguments, name: str) -> None:
    """Raise :class:`ArgumentError` if a name is nearly, but not quite, a live field's."""
    live = [known for known in field_names(args) if obstacle(trainer, args, known) is None]
    close = get_close_matches(name, live, n=1, cutoff=_CLOSE)
    if close:
        raise ArgumentError(
            f"{name!r} is not a field of {type(args).__name__}. Did you mean {close[0]!r}? A "
            "parameter of the model needs a name that is further from it"
        )


def unread(name: str, args: TrainingArguments, reader: str) -> ArgumentError:
    """Return the error for a name that is not a field and that nobody reads."""
    return ArgumentError(
        f"{name!r} is searched and changes nothing: it is not a field of {type(args).__name__}"
        f".{nearest(name, field_names(args))} {reader}"
    )


def with_values(args: TrainingArguments, values: Mapping[str, Any]) -> TrainingArguments:
    """Return a copy of the arguments with some fields changed, which transformers checks again.

    The copy keeps the device and whatever attributes were put on the arguments by hand. What a
    subclass does in its ``__post_init__`` is done once, when its user makes the arguments: many
    cannot do it twice.

    Raises:
        ArgumentError: A value is not of its field's type, or does not stay as it was set.
        ValueError: TrainingArguments refuses the values together.
    """
    changed = copy.copy(args)
    given = {name: typed(args, name, value) for name, value in values.items()}
    for name, value in given.items():
        setattr(changed, _read_as(args, name), value)
    if given:
        check_again(changed)
    for name, value in given.items():
        kept = getattr(changed, _read_as(args, name))
        if kept != value:
            raise ArgumentError(
                f"{name!r} was set to {value!r}, and {type(args).__name__} made it {kept!r}"
            )
    return changed


def _read_as(args: TrainingArguments, name: str) -> str:
    """Return the field that a training reads for another one; else the name itself."""
    made_of: Any = type(args)
    passed_on = name not in declared_by_transformers() and name in _read_by_post_init(made_of)
    return _PASSED_ON.get(name, name) if passed_on else name


def check_again(args: TrainingArguments) -> None:
    """Have transformers, and no subclass, check finished arguments and set up their process."""
    TrainingArguments.__post_init__(args)  # type: ignore[no-untyped-call]


@lru_cache(maxsize=1)
def declared_by_transformers() -> frozenset[str]:
    """Return the names of the fields that transformers' own arguments have."""
    return frozenset(field.name for field in fields(Seq2SeqTrainingArguments))


@lru_cache(maxsize=64)
def _read_by_constructors(trainer: Any) -> frozenset[str]:
    """Return the names that the ``__init__`` of a Trainer's subclasses read from the arguments.

    Found in their source: every ``args.<name>``. It decides over the fields that such a Trainer's
    own arguments class adds; those of transformers are listed above.
    """
    classes = [cls for cls in trainer.__mro__ if issubclass(cls, Trainer)]
    own = [cls for cls in classes if cls not in (Trainer, Seq2SeqTrainer)]
    return _read_in(own, "__init__", ("args", "self.args"))


@lru_cache(maxsize=64)
def _read_by_post_init(args: Any) -> frozenset[str]:
    """Return the names that the ``__post_init__`` of a subclass of TrainingArguments reads."""
    classes = [cls for cls in args.__mro__ if issubclass(cls, TrainingArguments)]
    own = [cls for cls in classes if cls not in (TrainingArguments, Seq2SeqTrainingArguments)]
    return _read_in(own, "__post_init__", ("self",))


def _read_in(classes: list[type], method: str, holders: tuple[str, ...]) -> frozenset[str]:
    names: set[str] = set()
    for cls in classes:
        if method not in vars(cls):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(vars(cls)[method])))
        except (OSError, TypeError, SyntaxError):  # defined where there is no source to read
            continue
        names.update(
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Load)
            and ast.unparse(node.value) in holders
        )
    return frozenset(names)
