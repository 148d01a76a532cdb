"""What a body flows into when there is a head still to write before it.

(Apart from what uses it, since a protocol that is asked for at run time cannot be compiled.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class HeadSink(Protocol):
    """A sink that has a head still to write, and can leave that to the body that flows into it."""

    def take_head(self) -> tuple[bytes, Callable[[bytes], bool]]:
        """The head, which the sink does not write any more, and what writes it as it is."""
