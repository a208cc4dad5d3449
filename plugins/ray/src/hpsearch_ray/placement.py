"""The resources that the workers of one trial hold together, and giving them back.

Ray Train gives them back itself, unless its own process is killed: with a node, or by Tune at
Ctrl-C. Nobody else could use them then until the program that searches ends.
"""

from __future__ import annotations

from typing import Any, Final

import ray
from ray.util.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    remove_placement_group,
)

HOLDS: Final = "holds"
"""The call by which a worker says what it holds."""


def held_here() -> str:
    """Return the placement group that this worker of Ray Train's runs in, as text."""
    group = get_current_placement_group()
    assert group is not None
    name: str = group.id.hex()
    return name


def give_back(group: str) -> None:
    """Remove a placement group, if it is still there."""
    identity: Any = ray.PlacementGroupID.from_hex(group)
    remove_placement_group(PlacementGroup(identity))
