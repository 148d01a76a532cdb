"""What comes from elsewhere, as a terminal is given it: lines stay lines, and nothing in them is obeyed."""

from __future__ import annotations

from interpose.core.printable import printable, whole_characters


class TerminalText:
    """Changes a stream of bytes piece by piece: a `Transform` as bodies have it.

    Characters and line ends that are cut off by the end of a piece wait for the next one. A last line without an end
    gets one, so that the prompt of the shell stands on a line of its own.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._is_at_start = True

    def __call__(self, data: bytes | None) -> bytes:
        """What to write for `data`; None is the end."""
        if data is None:
            shown = printable(self._rest)
            self._rest = b""
            return shown.encode() + (b"" if self._is_at_start and not shown else b"\n")
        data = self._rest + data
        end = whole_characters(data)
        if data[:end].endswith(b"\r"):  # its line feed may be next
            end -= 1
        self._rest = data[end:]
        shown = printable(data[:end].replace(b"\r\n", b"\n"), keep="\n\t")
        if shown:
            self._is_at_start = shown.endswith("\n")
        return shown.encode()
