"""Where runs go: as the options say, then the environment, then whether there is a key."""

from __future__ import annotations

import pytest

from hpsearch.errors import OptionError
from hpsearch_wandb.options import WandbOptions, mode_of


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({}, "offline"),
        ({"WANDB_MODE": "disabled"}, "disabled"),
        ({"WANDB_MODE": "dryrun"}, "offline"),
        ({"WANDB_API_KEY": "k" * 40}, "online"),
        ({"WANDB_API_KEY": "k" * 40, "WANDB_MODE": "offline"}, "offline"),
    ],
)
def test_the_environment_says_where_runs_go(monkeypatch, environment, mode):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert mode_of(WandbOptions()) == mode
    assert mode_of(WandbOptions(mode="disabled")) == "disabled"


def test_a_key_that_wandb_login_left_is_found(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine wandb.example.org:8080 login user password " + "k" * 40 + "\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert mode_of(WandbOptions()) == "offline"
    assert mode_of(WandbOptions(base_url="http://wandb.example.org:8080")) == "online"


def test_a_mode_that_wandb_has_not_is_refused_with_the_nearest(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(OptionError, match="Did you mean 'offline'"):
        mode_of(WandbOptions())


def test_a_key_is_not_shown():
    assert "secret" not in repr(WandbOptions(api_key="secret"))
