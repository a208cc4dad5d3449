"""The options of the backend, and where they and the environment say that trials are reported."""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from hpsearch.errors import OptionError
from hpsearch.validators import check_options, mapping, one_of, text, texts

Mode = Literal["offline", "online", "disabled"]
"""``offline``: runs stay in files. ``online``: the server owns the sweep. ``disabled``: no runs."""

MODES: tuple[Mode, ...] = ("offline", "online", "disabled")
METHODS = ("random", "grid", "bayes")
DEFAULT_URL = "https://api.wandb.ai"

_ENVIRONMENT: Mapping[str, Mode] = {
    "offline": "offline",
    "dryrun": "offline",
    "online": "online",
    "run": "online",
    "disabled": "disabled",
}
"""What ``WANDB_MODE`` can say, W&B's older words among it."""


@dataclass(frozen=True, slots=True)
class WandbOptions:
    """What users of ``wandb.sweep``, ``wandb.agent`` and ``wandb.init`` give.

    What stands in the sweep config may be left out here; given in both, the option counts.

    Attributes:
        mode: ``"offline"``, ``"online"`` or ``"disabled"``. None: what ``WANDB_MODE`` says, else
            online if there is an API key, else offline.
        project: The project of the sweep and its runs.
        entity: The user or team that the project belongs to.
        sweep_id: Continue this sweep of the server; offline: the id to group the runs under.
        method: ``"random"``, ``"grid"`` or ``"bayes"``. None: the sweep config's, else random.
        metric: The name under which the objective is reported. None: the sweep config's, else
            ``"objective"``.
        early_terminate: ``{"type": "hyperband", "min_iter": 3}`` or the like.
        dir: The folder that W&B writes into. None: ``WANDB_DIR``, else here.
        group: The runs' group. None: the sweep's id.
        tags: Tags for every run.
        base_url: The W&B server. None: ``WANDB_BASE_URL``, else W&B's own.
        api_key: The key for that server. None: what ``wandb login`` or ``WANDB_API_KEY`` left.
    """

    mode: str | None = None
    project: str | None = None
    entity: str | None = None
    sweep_id: str | None = None
    method: str | None = None
    metric: str | None = None
    early_terminate: Mapping[str, Any] | None = None
    dir: str | os.PathLike[str] | None = None
    group: str | None = None
    tags: Sequence[str] = ()
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_options(self, text, "project", "entity", "sweep_id", "metric", "group")
        check_options(self, text, "api_key", secret=True)  # it may be a key with a typing error
        check_options(self, one_of, "mode", known=MODES)
        check_options(self, one_of, "method", known=METHODS)
        hyperband = "a mapping such as {'type': 'hyperband', 'min_iter': 3}"
        check_options(self, mapping, "early_terminate", kind=hyperband)
        check_options(self, texts, "tags")
        if self.dir is not None and not isinstance(self.dir, str | os.PathLike):
            raise OptionError(f"dir is {self.dir!r}, expected a path")
        if self.base_url is not None and not _is_url(self.base_url):
            raise OptionError(f"base_url is {self.base_url!r}, expected 'https://...'")


def mode_of(options: WandbOptions) -> Mode:
    """Return where trials are reported.

    Raises:
        OptionError: ``WANDB_MODE`` says something else, or online is asked for without a key.
    """
    given = os.environ.get("WANDB_MODE")
    if options.mode is not None:
        mode = one_of("mode", options.mode, MODES, error=OptionError)
    elif given:
        # W&B's older words work too, and are not named.
        mode = _ENVIRONMENT.get(given) or one_of("WANDB_MODE", given, MODES, error=OptionError)
    else:
        return "online" if has_key(options) else "offline"
    if mode == "online" and not has_key(options):
        raise OptionError(
            f"W&B is to be used online, and no API key for {url_of(options)} was found. Run "
            "'wandb login', set WANDB_API_KEY, or use mode='offline'"
        )
    return mode


def url_of(options: WandbOptions) -> str:
    """Return the address of the W&B server."""
    return options.base_url or os.environ.get("WANDB_BASE_URL") or DEFAULT_URL


def has_key(options: WandbOptions) -> bool:
    """Whether there is an API key for the server: given, in the environment or in the netrc."""
    if options.api_key or os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(url_of(options)).netloc
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            entry = netrc.netrc(path.expanduser()).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue  # W&B warns about it when it looks for the key itself.
        if entry is not None and entry[2]:
            return True
    return False


def _is_url(value: object) -> bool:
    return (
        isinstance(value, str)
        and urlsplit(value).scheme in ("http", "https")
        and bool(urlsplit(value).netloc)
    )
