"""What the supervisor needs to know of a configuration; the rest of it is opaque and goes to the workers."""

from __future__ import annotations

from msgspec import Struct


class ListenerPlan(Struct, frozen=True, kw_only=True):
    """One listener: what it is called, what it does, where it is bound."""

    name: str
    role: str
    address: str
    scheme: str = "http"
    udp: bool = False

    @property
    def key(self) -> str:
        """What says whether a running listener's sockets serve this one too: the address, however it is called.

        Port 0 means another port for each listener, hence the name counts there.
        """
        key = f"{self.name} {self.address}" if self.address.endswith(":0") else self.address
        return f"udp {key}" if self.udp else key


class Plan(Struct, frozen=True, kw_only=True):
    """What the supervisor runs."""

    name: str
    state_dir: str
    workers: int
    listeners: tuple[ListenerPlan, ...]
    config: bytes
    """The whole configuration as MessagePack, for the workers."""

    written: bytes = b""
    """The same without what was changed while it runs; empty: nothing was."""

    grace_s: float = 30.0
    pre_drain_s: float = 0.0
    max_lag_s: float = 10.0
    memory_limit_bytes: int = 0
