"""Faults: what may be made to go wrong, and for which connections, exchanges and datagrams it does.

A fault is one table of options. Which of them a kind takes, and what it can befall, is in one table here (`KINDS`).
Names are those of Toxiproxy's toxics where they mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random, SystemRandom
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from interpose.core.units import Seconds

Size = Annotated[int, Meta(ge=0, le=1 << 50)]
Positive = Annotated[int, Meta(ge=1, le=1 << 50)]

Kind = Literal[
    "latency", "bandwidth", "slow_close", "reset_peer", "timeout", "slicer", "limit_data",
    "loss", "duplicate", "reorder",
    "status", "truncate", "slow_head",
]  # fmt: skip


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that goes wrong on purpose."""

    kind: Kind
    """What goes wrong: docs/faults.md says what each kind does, and to whom."""

    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """How often, from 0 to 1: decided once for each connection, exchange or datagram."""

    direction: Literal["both", "inbound", "outbound"] = "both"
    """Which way: `inbound` is to the server, `outbound` to the client."""

    seed: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None
    """Makes a run repeatable: the same connections of a worker, counted from its start, have the same faults. Without
    it every run differs."""

    latency_s: Seconds | None = None
    """(latency) How much later everything arrives."""

    jitter_s: Seconds = 0.0
    """(latency) By how much that varies, up and down."""

    rate_bytes_per_s: Positive | None = None
    """(bandwidth) How much passes."""

    delay_s: Seconds | None = None
    """(slow_close) How much later a connection closes. (slicer) The pause between two pieces. (slow_head) How long the
    head takes. (reorder) How long a datagram waits for another one to overtake it; 1 when nothing is said."""

    after_s: Seconds = 0.0
    """(reset_peer) How long a connection lives, or an exchange lasts, before the reset. (timeout) When the silence ends
    with the connection; 0: when one side gives up."""

    average_bytes: Positive | None = None
    """(slicer) The size of the pieces."""

    variation_bytes: Size = 0
    """(slicer) By how much that varies, up and down; less than `average_bytes`."""

    bytes: Size | None = None
    """(limit_data) How much passes before the connection closes. (truncate) How much content; 0 when nothing is
    said."""

    status: Annotated[int, Meta(ge=200, le=599)] = 503
    """(status) The status."""


class Rule(NamedTuple):
    """What a kind of fault is: the options it takes besides those of all, the ones it needs, and what it befalls."""

    takes: tuple[str, ...]
    needs: tuple[str, ...]
    befalls: tuple[str, ...]
    has_direction: bool = True


CONNECTIONS, DATAGRAMS, EXCHANGES = "connections", "datagrams", "exchanges"

KINDS: dict[str, Rule] = {
    "latency": Rule(("latency_s", "jitter_s"), ("latency_s",), (CONNECTIONS, DATAGRAMS, EXCHANGES)),
    "bandwidth": Rule(("rate_bytes_per_s",), ("rate_bytes_per_s",), (CONNECTIONS, EXCHANGES)),
    "slow_close": Rule(("delay_s",), ("delay_s",), (CONNECTIONS,)),
    "reset_peer": Rule(("after_s",), (), (CONNECTIONS, EXCHANGES)),
    "timeout": Rule(("after_s",), (), (CONNECTIONS, EXCHANGES)),
    "slicer": Rule(("average_bytes", "variation_bytes", "delay_s"), ("average_bytes",), (CONNECTIONS,)),
    "limit_data": Rule(("bytes",), ("bytes",), (CONNECTIONS,)),
    "loss": Rule((), (), (DATAGRAMS,)),
    "duplicate": Rule((), (), (DATAGRAMS,)),
    "reorder": Rule(("delay_s",), (), (DATAGRAMS,)),
    "status": Rule(("status",), (), (EXCHANGES,)),
    "truncate": Rule(("bytes",), (), (EXCHANGES,), has_direction=False),
    "slow_head": Rule(("delay_s",), ("delay_s",), (EXCHANGES,), has_direction=False),
}

_OF_ALL = ("kind", "probability", "direction", "seed")
_DEFAULTS = Fault(kind="loss")


def complaints(fault: Fault) -> Iterator[tuple[str, str]]:
    """What is wrong between the options of one fault: the option ("" for the fault as a whole) and a sentence."""
    rule = KINDS[fault.kind]
    for option in given(fault):
        if option not in rule.takes and option not in _OF_ALL:
            takes = f"which takes {' and '.join(rule.takes)}" if rule.takes else "which takes no option of its own"
            yield option, f"has no meaning for {fault.kind}, {takes}; take it away"
    for option in rule.needs:
        if getattr(fault, option) is None:
            yield "", f"{fault.kind} needs {option}; give it"
    if fault.direction != "both" and not rule.has_direction:
        yield "direction", f"has no meaning for {fault.kind}, which is of answers only; take it away"
    if fault.average_bytes is not None and fault.variation_bytes >= fault.average_bytes:
        yield "variation_bytes", f"must be less than average_bytes, which is {fault.average_bytes}"


def given(fault: Fault) -> list[str]:
    """The options that say something else than nothing."""
    return [name for name in fault.__struct_fields__ if getattr(fault, name) != getattr(_DEFAULTS, name)]


def spelled(fault: Fault) -> str:
    """The fault as one writes it after `--fault`."""
    options = [name for name in given(fault) if name != "kind"]
    return " ".join([fault.kind, *(f"{name}={_value(getattr(fault, name))}" for name in options)])


def _value(value: object) -> str:
    return str(value).removesuffix(".0")


class Drawn(NamedTuple):
    """A fault that befalls something, and where its further chances come from."""

    fault: Fault
    random: Random


class Chances:
    """Decides which of `faults` befall the first, the second, … connection or exchange."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        self.drawn = 0
        """Faults that have befallen something."""
        self._count = 0
        self._seeds = [seed_of(fault) for fault in faults]

    def draw(self) -> tuple[Drawn, ...]:
        """The faults of the next one."""
        self._count += 1
        drawn = []
        for fault, seed in zip(self.faults, self._seeds, strict=True):
            random = Random(f"{seed} {self._count}")
            if random.random() < fault.probability:
                drawn.append(Drawn(fault, random))
        self.drawn += len(drawn)
        return tuple(drawn)


def seed_of(fault: Fault) -> str:
    """What the chances of a fault begin with. Two kinds with one seed have nothing to do with each other."""
    return f"{fault.kind} {SystemRandom().getrandbits(64) if fault.seed is None else fault.seed}"


def affects(fault: Fault, direction: Literal["inbound", "outbound"]) -> bool:
    """Whether a fault is of that direction."""
    return fault.direction in ("both", direction)
