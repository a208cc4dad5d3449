"""Pruners: stop the trials whose intermediate results say that the rest is not worth its time."""

from __future__ import annotations

from hpsearch.pruners.pruner import MedianPruner as MedianPruner
from hpsearch.pruners.pruner import Pruner as Pruner
from hpsearch.pruners.pruner import SuccessiveHalvingPruner as SuccessiveHalvingPruner
from hpsearch.pruners.pruner import make_pruner as make_pruner
