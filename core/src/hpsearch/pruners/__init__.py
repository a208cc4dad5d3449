"""Pruners: stop the trials whose intermediate results say that the rest is not worth its time.

They work with every ask/tell backend. ``docs/pruners.md`` shows how to choose one.
"""

from __future__ import annotations

from hpsearch.pruners.halving import SuccessiveHalvingPruner as SuccessiveHalvingPruner
from hpsearch.pruners.median import MedianPruner as MedianPruner
from hpsearch.pruners.named import make_pruner as make_pruner
from hpsearch.pruners.pruner import Pruner as Pruner
