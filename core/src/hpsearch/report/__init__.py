"""A study as one HTML page: figures, best run, trials and failures, with nothing to download.

The page works from a disk, without a network: plotly's script is part of it (about 5 MB).
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import HpsearchError

if TYPE_CHECKING:
    from hpsearch.study.study import Study


def write(study: Study, path: str | PathLike[str]) -> Path:
    """Write the report of a study, of however many trials.

    Args:
        study: The study, running or ended.
        path: The HTML file; its folder must exist.

    Returns:
        The file's absolute path.

    Raises:
        HpsearchError: plotly is not installed, or the file cannot be written.
    """
    page = html(study)
    target = Path(path).absolute()
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise HpsearchError(f"the report cannot be written: {error}") from error
    return target


def html(study: Study) -> str:
    """Return the report of a study as an HTML page.

    Raises:
        HpsearchError: plotly is not installed.
    """
    try:
        from hpsearch.report import page
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "plotly":
            raise
        raise HpsearchError(
            "a report needs plotly, which is not installed. Run: pip install 'hpsearch[report]'"
        ) from error
    return page.render(study)
