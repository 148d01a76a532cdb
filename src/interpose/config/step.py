"""One filter in its place: what each feature of the configuration gives to `config.steps`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from interpose.core.handler import Filter, Phase


class Step(NamedTuple):
    """One filter in its place: what `check` prints (nothing without `detail`), and how it is made."""

    phase: Phase
    name: str
    detail: str
    make: Callable[[], Filter]
