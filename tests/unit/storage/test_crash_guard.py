from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from interpose.storage.crash_guard import MAX_STRIKES, CrashGuard

DIE = """
import os, signal, sys
from interpose.storage.crash_guard import CrashGuard
guard = CrashGuard(sys.argv[1])
if sys.argv[2] == "inside":
    guard.enter(1)
print(guard.is_out)
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def die(directory: Path, where: str) -> bool:
    """Let a process die inside or outside; whether it was told that the file is to blame."""
    done = subprocess.run(
        [sys.executable, "-c", DIE, str(directory), where], capture_output=True, text=True, timeout=20
    )
    return done.stdout.strip() == "True"


def test_f8_processes_that_die_inside_one_after_the_other_are_noticed(tmp_path: Path) -> None:
    verdicts = [die(tmp_path, "inside") for _ in range(MAX_STRIKES)]
    assert verdicts == [False] * MAX_STRIKES
    guard = CrashGuard(str(tmp_path))
    assert guard.is_out
    guard.forgive()
    assert not guard.is_out
    guard.close()
    assert os.listdir(tmp_path) == []


def test_processes_that_die_elsewhere_are_no_sign(tmp_path: Path) -> None:
    for where in ["inside", "outside", "inside", "outside", "inside"]:
        assert not die(tmp_path, where)
    guard = CrashGuard(str(tmp_path))
    assert not guard.is_out
    guard.close()


def test_who_lives_is_not_counted(tmp_path: Path) -> None:
    living = CrashGuard(str(tmp_path))
    with living.inside(0):
        other = CrashGuard(str(tmp_path))
        assert len(os.listdir(tmp_path)) == 2
        assert not other.is_out
    living.close()
    other.close()


def test_f8_what_else_lies_in_the_directory_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"\1")
    (tmp_path / "long").write_bytes(b"\xff" * 5000)
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("/nonexistent")
    CrashGuard(str(tmp_path)).close()
