"""What does not fit into memory: every octet at its place, in files that end when nobody needs them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from interpose.storage.spill import Spill, SpillSpace


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_octets_are_read_from_their_place_across_segments() -> None:
    space = SpillSpace(segment_bytes=10)
    spill = Spill(space, 5)
    whole = bytes(range(100))
    spill.append(whole[5:8])
    spill.append(memoryview(whole)[8:47])
    assert (spill.start, spill.end, space.used) == (5, 47, 42)
    got, place = b"", 5
    while place < spill.end:
        piece = spill.read(place, 7)
        assert 1 <= len(piece) <= 7
        got += piece
        place += len(piece)
    assert got == whole[5:47]
    spill.close()
    assert space.used == 0


def test_segments_end_when_they_are_passed() -> None:
    before = open_files()
    space = SpillSpace(segment_bytes=10)
    spill = Spill(space, 0)
    spill.append(bytes(35))
    assert open_files() == before + 4
    spill.drop(19)
    assert (open_files(), space.used) == (before + 3, 25)
    spill.drop(20)
    assert (open_files(), space.used) == (before + 2, 15)
    spill.drop(3)
    assert spill.read(20, 100) == bytes(10)
    spill.close()
    spill.close()
    assert (open_files(), space.used) == (before, 0)


def test_all_spills_of_a_space_share_its_bound() -> None:
    space = SpillSpace(max_bytes=100)
    one, two = Spill(space, 0), Spill(space, 0)
    one.append(bytes(60))
    two.append(bytes(40))
    with pytest.raises(OSError, match="100 bytes"):
        two.append(b"x")
    assert two.end == 40
    one.close()
    two.append(bytes(60))
    two.close()


def test_nothing_is_left_in_the_directory(tmp_path: Path) -> None:
    spill = Spill(SpillSpace(str(tmp_path)), 0)
    spill.append(b"x")
    assert list(tmp_path.iterdir()) == []
    spill.close()


def test_f6_complaints_are_counted_each_time_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    space = SpillSpace("/nowhere")
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            with pytest.raises(OSError) as raised:
                Spill(space, 0).append(b"x")
            space.complain(raised.value)
    assert space.refused == 10
    assert len(caplog.records) == 1
    assert "/nowhere" in caplog.text
