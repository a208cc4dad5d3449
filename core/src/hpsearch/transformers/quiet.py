"""Keeping transformers quiet while trials run: a search has a display of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from transformers import Trainer
from transformers.utils import logging as transformers_logging

from hpsearch.transformers import compat


def hide_training(trainer: Trainer) -> None:
    """Remove the callback that shows a training: the progress bar, or the printed logs.

    This is so where the user added it, too. One of a class of the user's own stays.
    """
    handler = trainer.callback_handler
    handler.callbacks = [c for c in handler.callbacks if type(c) not in compat.DISPLAYS]


@contextmanager
def quiet_loading(*, bars: bool, reports: bool) -> Iterator[None]:
    """Show neither bars nor reports of weights that are loaded, for as long as it lasts.

    What the user has set stays: bars that an environment variable asks for, and reports where the
    log of transformers is to show more than warnings.

    Args:
        bars: Whether to show bars all the same.
        reports: Whether to show reports all the same.
    """
    enabled = transformers_logging.is_progress_bar_enabled()
    hides_bars = enabled and not bars and "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ
    reports = reports or transformers_logging.get_verbosity() < logging.WARNING
    loggers = [] if reports else [logging.getLogger(name) for name in compat.LOADING_LOGGERS]
    if hides_bars:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for logger in loggers:
        logger.addFilter(_is_no_report)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_is_no_report)
        if hides_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _is_no_report(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not any(mark in text for mark in compat.LOADING_REPORTS)
