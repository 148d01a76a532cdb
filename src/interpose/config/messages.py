"""Messages of the program itself on standard error: text for people, JSON lines for machines.

They never hold traffic up. A thread writes them from a bounded queue, since standard error may be a pipe that nobody
reads (THREATS F27); what does not fit is dropped and counted.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import queue
import sys
import threading
from datetime import UTC, datetime

MOST_WAITING = 1000
"""Messages that may wait to be written."""

LAST_WRITE_S = 1.0
"""How long the last messages may take when the process ends."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Text(logging.Formatter):
    """`interpose: worker 1: error: what happened`"""

    def __init__(self, who: str) -> None:
        super().__init__()
        self._who = f"{who}: " if who else ""

    def format(self, record: logging.LogRecord) -> str:
        """One message, with its traceback where there is one; control characters are escaped."""
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        text = f"interpose: {self._who}{level}{_printable(record.getMessage())}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class Json(logging.Formatter):
    """One object a line, its time in UTC."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self._who = who

    def format(self, record: logging.LogRecord) -> str:
        """One message."""
        line = {
            "event": "message",
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if self._who:
            line["process"] = self._who
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class Messages(logging.Handler):
    """Writes messages from a thread; `emit` never waits."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._write_for_ever, name="messages", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one message, or drop it."""
        try:
            self._waiting.put_nowait(self.format(record))
        except queue.Full:
            self.dropped += 1
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Write what waits, as far as somebody reads it."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
            self._thread.join(LAST_WRITE_S)
        super().close()

    def _write_for_ever(self) -> None:
        while (text := self._waiting.get()) is not None:
            dropped, self.dropped = self.dropped, 0
            if dropped:
                text += f"\n({dropped} messages before this one were dropped: nobody read them in time)"
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"{text}\n")
                sys.stderr.flush()


def configure(level: str, log_format: str, who: str = "") -> None:
    """Write messages of `level` and above to standard error, as `text` or `json`; `who` names this process in them."""
    log = logging.getLogger("interpose")
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    messages = Messages()
    messages.setFormatter(Json(who) if log_format == "json" else Text(who))
    log.addHandler(messages)
    log.setLevel(_LEVELS[level])
    log.propagate = False
    logging.getLogger("asyncio").addHandler(messages)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    atexit.register(messages.close)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
