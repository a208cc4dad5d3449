"""Run the benchmarks that are named, or all, and print one Markdown table.

Usage: python -m benchmarks [imports] [loop] [ray_trainer] [scale] [sigopt_loop] [trainer]
                            [wandb_loop] [workers]
"""

from __future__ import annotations

import importlib
import platform
import sys

from benchmarks.measure import HEADER

NAMES = (
    "imports",
    "loop",
    "ray_trainer",
    "scale",
    "sigopt_loop",
    "trainer",
    "wandb_loop",
    "workers",
)


def main(names: list[str]) -> int:
    """Print the table; return 1 if a target was missed, 2 for a name that is none."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark is called {unknown[0]!r}; there are {', '.join(NAMES)}")
        return 2
    print(f"Python {platform.python_version()}, {platform.machine()}\n\n{HEADER}")
    met = True
    for name in names or NAMES:
        for row in importlib.import_module(f"benchmarks.{name}").rows():
            print(row, flush=True)
            met = met and row.met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
