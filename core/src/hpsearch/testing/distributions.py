"""Distributions made up for a test: real metadata and real modules in a folder on ``sys.path``.

Nothing is mocked: the entry points are found, and the modules imported, as those of an installed
package are.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent


def fake_distribution(
    path: Path,
    name: str,
    version: str = "1.0",
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    modules: Mapping[str, str] | None = None,
) -> Path:
    """Write a distribution into a folder, as an installer would; any number fit side by side.

    Args:
        path: The folder; made where there is none. Put it on ``sys.path`` (see
            :func:`importable`) when all its distributions are written: listings of a path that
            has been searched before are kept.
        name: The distribution's name, such as ``hpsearch-example``.
        version: Its version.
        entry_points: Group to entry name to ``module:attribute``, as in a ``pyproject.toml``:
            ``{"hpsearch.backends": {"example": "hpsearch_example:ExampleBackend"}}``.
        modules: Dotted module name to source text, which may be indented as a whole. A name with
            modules below it becomes a package.

    Returns:
        The folder.
    """
    normal = re.sub(r"[-_.]+", "_", name).lower()
    metadata = path / f"{normal}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )
    sections = [
        "\n".join([f"[{group}]", *(f"{entry} = {target}" for entry, target in targets.items())])
        for group, targets in (entry_points or {}).items()
    ]
    (metadata / "entry_points.txt").write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    modules = modules or {}
    for module, source in modules.items():
        file = path.joinpath(*module.split("."))
        is_package = any(other.startswith(f"{module}.") for other in modules)
        file = file / "__init__.py" if is_package else file.with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(source), encoding="utf-8")
    return path


@contextmanager
def importable(path: Path) -> Iterator[Path]:
    """Have a folder first on ``sys.path`` for a while; then forget what was imported from it."""
    sys.path.insert(0, str(path))
    importlib.invalidate_caches()
    try:
        yield path
    finally:
        sys.path.remove(str(path))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file is not None and path in Path(file).parents:
                del sys.modules[name]
