import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from interpose.config.launch import WORKER_COMMAND, plan_of
from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.engine.plan import ListenerPlan

TABLES = {
    "process": {"name": "web", "state_dir": "/state", "workers": 3, "grace_s": 7, "pre_drain_s": 5, "max_lag_s": 4},
    "listener": [
        {"name": "in", "address": "127.0.0.1:8080", "role": "gateway", "upstream": "o"},
        {"name": "out", "address": "unix:/x", "role": "proxy"},
    ],
    "upstream": [{"name": "o", "servers": ["127.0.0.1:1"]}],
}


def test_the_supervisor_gets_what_concerns_it_and_workers_the_whole() -> None:
    config = config_of(TABLES)
    plan = plan_of(config)
    assert (plan.name, plan.state_dir, plan.workers) == ("web", "/state", 3)
    assert (plan.grace_s, plan.pre_drain_s, plan.max_lag_s, plan.memory_limit_bytes) == (7.0, 5.0, 4.0, 0)
    assert plan.listeners == (
        ListenerPlan(name="in", role="gateway", address="127.0.0.1:8080"),
        ListenerPlan(name="out", role="proxy", address="unix:/x"),
    )
    assert msgspec.msgpack.decode(plan.config, type=Config) == config


def test_no_worker_count_means_one_for_each_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 5})
    assert plan_of(config_of({**TABLES, "process": {"workers": 0}})).workers == 3


def test_a_worker_is_not_misled_by_files_in_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "socket.py").write_text("raise SystemExit('this is not the socket module')\n")
    done = subprocess.run(
        WORKER_COMMAND, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
    )
    assert WORKER_COMMAND[0] == sys.executable
    assert done.returncode == 2
    assert done.stderr == "This is started by `interpose` for each worker, not by hand; see `interpose run`.\n"
