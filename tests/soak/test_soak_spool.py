"""1 GiB through a spool into a sink: every byte right, and neither grows."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.scenes.test_spool import answer_of, nc, peak_kib, sink, spool, stored
from tests.support.program import INTERPOSE, children_of

pytestmark = pytest.mark.soak


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


@pytest.mark.timeout(600)
def test_one_gib_passes_in_little_memory(place: Path) -> None:
    large, digest = place / "large", hashlib.sha256()
    with large.open("wb") as file:
        for seed in range(128):
            piece = random.Random(seed).randbytes(8 << 20)
            digest.update(piece)
            file.write(piece)
    with sink(place) as last, spool(place, last) as program:
        workers = [children_of(one.process.pid)[0] for one in (last, program)]
        answer_of(nc(program.port, b"to load what is loaded late\n"))
        before = [peak_kib(pid) for pid in workers]
        command = [INTERPOSE, "send", str(large), f"127.0.0.1:{program.port}"]
        done = subprocess.run(command, capture_output=True, timeout=500, check=False)
        assert stored(done.stdout) == (1 << 30, digest.hexdigest()), done.stderr
        grown = [peak_kib(pid) - memory for pid, memory in zip(workers, before, strict=True)]
    assert max(grown) < 16 << 10, grown
    sizes = sorted(path.stat().st_size for path in (place / "in").glob("[a-z2-7]*/content"))
    assert sizes == [28, 1 << 30]
    shutil.rmtree(place / "in")
    shutil.rmtree(place / "out")
