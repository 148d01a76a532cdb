"""Line ends as HTTP and SMTP want them."""

from __future__ import annotations


class CrLf:
    """Changes a stream of bytes piece by piece: every line ends with CR LF, whether it had one or a LF alone."""

    def __init__(self) -> None:
        self._ended_with_cr = False

    def __call__(self, data: bytes) -> bytes:
        """What to send for `data`."""
        before = b"\r" if self._ended_with_cr else b""  # sent already, and needed to judge a line feed behind it
        whole = before + data
        self._ended_with_cr = whole.endswith(b"\r")
        return whole.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")[len(before) :]
