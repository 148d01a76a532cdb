import os
import stat
from pathlib import Path

import pytest

from interpose.engine.state_directory import StateDirectory


def test_an_instance_owns_its_directory_and_nobody_else_can_look(tmp_path: Path) -> None:
    state = StateDirectory(str(tmp_path / "deep" / "state"), "web")
    state.acquire()
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    assert (state.path / "pid").read_text() == f"{os.getpid()}\n"
    assert not state.was_left_behind
    state.release()
    assert not (state.path / "pid").exists()


def test_a_second_instance_of_that_name_is_told_who_has_it(tmp_path: Path) -> None:
    first = StateDirectory(str(tmp_path), "web")
    first.acquire()
    with pytest.raises(ValueError) as caught:
        StateDirectory(str(tmp_path), "web").acquire()
    assert str(caught.value) == (
        f"An instance named 'web' is already running as process {os.getpid()}; "
        "stop it, or choose another name with --name."
    )
    other = StateDirectory(str(tmp_path), "other")
    other.acquire()
    other.release()
    first.release()
    again = StateDirectory(str(tmp_path), "web")
    again.acquire()
    again.release()


def test_f5_what_a_killed_instance_left_behind_is_harmless_and_noticed(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "pid").write_text("1\n")
    (tmp_path / "web" / "lock").touch()
    (tmp_path / "web" / "control.sock").touch()
    state = StateDirectory(str(tmp_path), "web")
    state.acquire()
    assert state.was_left_behind
    state.release()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a b", "\N{SNOWMAN}", "x" * 65, "a\n"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of an instance"):
        StateDirectory(str(tmp_path), name)


def test_a_path_too_long_for_a_socket_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose a shorter state directory with --state"):
        StateDirectory(str(tmp_path / ("d" * 100)), "web").acquire()


def test_a_state_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError) as caught:
        StateDirectory(str(tmp_path / "file"), "web").acquire()
    assert str(caught.value) == (
        f"The state directory {tmp_path}/file/web cannot be used: Not a directory; choose another one with --state."
    )
