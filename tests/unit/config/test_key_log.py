"""Where secrets of intercepted TLS go: what the table says, else the environment; without the table, nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.intercepting import Intercepting

from interpose.config.interception import key_log_of, leaves, origin_tls
from interpose.config.interception_files import key_log_file
from interpose.config.load import config_of
from interpose.config.parts import Parts
from interpose.config.problem import ConfigError
from interpose.config.roles import proxy_tables
from interpose.net.leaves import MOST_KEPT_WITH_KEY_LOG


def test_the_table_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Intercepting(tmp_path)
    inherited, named = str(tmp_path / "inherited.keys"), str(tmp_path / "named.keys")
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    assert key_log_file(world.config()) is None
    monkeypatch.setenv("SSLKEYLOGFILE", inherited)
    assert key_log_file(world.config()) == inherited
    assert key_log_file(world.config(keylog=named)) == named
    assert key_log_file(config_of(proxy_tables(["127.0.0.1:0"]))) is None


def test_both_sides_follow_one_file_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    world, parts = Intercepting(tmp_path), Parts()
    config = world.config(keylog=str(tmp_path / "tls.keys"))
    ours, theirs = leaves(config, parts), origin_tls(config, parts)
    assert ours.context("shop.example").keylog_filename
    assert ours.context("shop.example").keylog_filename == theirs.context("shop.example").keylog_filename
    assert (leaves(config, parts), origin_tls(config, parts)) == (ours, theirs), "a reload keeps them"
    assert caplog.text.count(f"are written to {tmp_path}/tls.keys") == 1
    for number in range(MOST_KEPT_WITH_KEY_LOG):
        ours.context(f"{number}.example")
    assert len(ours) == MOST_KEPT_WITH_KEY_LOG
    assert leaves(world.config(), parts) is not ours, "without it nobody follows any more"
    assert key_log_of(world.config(), parts) is None


def test_a_file_that_cannot_be_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Intercepting(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"interception\.keylog.*an ordinary file only"):
        world.config(keylog=str(tmp_path / "link"))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "link"))
    with pytest.raises(ConfigError, match=r"SSLKEYLOGFILE.*an ordinary file only"):
        world.config()
