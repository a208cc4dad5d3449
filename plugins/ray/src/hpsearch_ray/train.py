"""Ray Train's trainer as a trial uses it."""

from __future__ import annotations

from typing import Any

from ray.train.torch import TorchTrainer


class GroupTrainer(TorchTrainer):
    """Starts workers that are connected by ``torch.distributed``, and ends without delay."""

    def _create_default_callbacks(self) -> Any:
        # One of them asks Ray's dashboard every second whether the training still lives, to give
        # its resources back. Where no dashboard runs, that cannot work, and each training waits
        # 12 s for its end (Ray 2.60); see hpsearch_ray.placement.
        callbacks = super()._create_default_callbacks()  # type: ignore[misc] # of Ray Train's V2
        return [c for c in callbacks if type(c).__name__ != "PlacementGroupCleanerCallback"]
