"""A study as one HTML page: figures, best run, trials and failures, with nothing to download.

The page works from a disk, without a network: plotly's script is part of it (about 5 MB).
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import HpsearchError
from hpsearch.report import files

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
        ArgumentError: ``path`` has a file that is not a report of hpsearch; it stays as it is.
        HpsearchError: plotly is not installed, or the file cannot be written.
    """
    files.check(path, files.PAGE)
    return files.write(path, html(study), files.PAGE)


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
