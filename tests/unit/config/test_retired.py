"""What a reload gives up is kept for as long as something that began before it still uses it."""

from __future__ import annotations

from pathlib import Path

from interpose.config.retired import Retired
from interpose.engine.narration import Narration
from interpose.storage.line_writer import LineWriter


async def test_a_conversation_is_told_to_its_end(tmp_path: Path) -> None:
    writer = LineWriter(str(tmp_path / "told"))
    narration = Narration(writer.write, "text")
    retired = Retired()
    retired.add([narration, writer])
    retired.tick(1.0)
    narration.tell("192.0.2.1:50000", "still here")
    writer.flush()
    assert writer.dropped == 0
    del narration
    retired.tick(2.0)
    writer.write(b"nobody can say this any more\n")
    writer.flush()
    assert writer.dropped == 1
    await retired.close()
