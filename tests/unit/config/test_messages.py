import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO

import pytest

from interpose.config import messages
from interpose.config.messages import Json, Messages, Text


def record(text: str, *arguments: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("interpose", level, __file__, 1, text, arguments, None)


@pytest.mark.parametrize(
    ("who", "written", "text"),
    [
        ("", record("it runs"), "interpose: it runs"),
        ("worker 1", record("it runs"), "interpose: worker 1: it runs"),
        ("", record("%d left", 3, level=logging.WARNING), "interpose: warning: 3 left"),
        ("", record("host %s", "a\x1b[31mb\r\nc"), "interpose: host a\\x1b[31mb\\r\nc"),
    ],
)
def test_a_message_as_text(who: str, written: logging.LogRecord, text: str) -> None:
    assert Text(who).format(written) == text


def test_a_message_as_json_is_one_line() -> None:
    written = record("host %s", "a\x1b\nb", level=logging.ERROR)
    written.created = 0.5
    line = Json("worker 1").format(written)
    assert "\n" not in line
    assert json.loads(line) == {
        "event": "message",
        "time": "1970-01-01T00:00:00.500+00:00",
        "level": "error",
        "message": "host a\x1b\nb",
        "process": "worker 1",
    }


class Pipe:
    """Standard error as a pipe that is read when `read` is called, and not before."""

    def __init__(self) -> None:
        reading, self.writing = os.pipe()
        os.set_blocking(self.writing, True)
        self.reader: IO[bytes] = os.fdopen(reading, "rb")
        self.file = os.fdopen(self.writing, "w", buffering=1)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.file.close()
    pipe.reader.close()


def test_f27_messages_wait_for_no_reader_and_what_is_dropped_is_counted(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MOST_WAITING", 10)
    monkeypatch.setattr(sys, "stderr", pipe.file)
    handler = Messages()
    for number in range(2000):  # far more than a pipe of 64 KiB and a queue of ten hold
        handler.emit(record(f"{number} " + "x" * 200))
    assert handler.dropped > 0
    lines: list[bytes] = []
    is_said = threading.Event()

    def read() -> None:
        for line in pipe.reader:
            lines.append(line)
            if line.endswith(b"messages before this one were dropped: nobody read them in time)\n"):
                is_said.set()

    reading = threading.Thread(target=read)
    reading.start()
    assert is_said.wait(10)
    handler.close()
    pipe.file.close()
    reading.join()
    assert lines[0].startswith(b"0 x")


def test_the_last_message_of_a_process_is_written() -> None:
    program = (
        "import logging\n"
        "from interpose.config.messages import configure\n"
        "configure('info', 'text', 'worker 3')\n"
        "configure('warning', 'text', 'worker 4')\n"
        "logging.getLogger('interpose').info('not this')\n"
        "logging.getLogger('interpose').error('the last words')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert done.stderr == "interpose: worker 4: error: the last words\n"
