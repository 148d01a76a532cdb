"""What the API shows and moves, as it is given by whoever builds the console.

A part that is None is off: its resources are there and say how to turn it on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from interpose.console.events import Events

if TYPE_CHECKING:  # the control socket of an instance that keeps nothing starts without loading any of it
    from interpose.console.overview import Overview
    from interpose.console.upstream_history import UpstreamHistory
    from interpose.core.experiment.deciding import Action
    from interpose.core.experiment.trend import Trend
    from interpose.core.experiment.view import ExperimentView
    from interpose.core.hold import HeldMessage
    from interpose.core.journal import Summary
    from interpose.storage.desk.review import Review
    from interpose.storage.journal.reader import Reader
    from interpose.storage.journal.thread import JournalThread
    from interpose.storage.spool import Spool


class ReloadResult(Protocol):
    """What a reload came to."""

    @property
    def generation(self) -> int:
        """The generation that serves now."""

    @property
    def errors(self) -> Sequence[str]:
        """Why it is still the old one, in sentences; none when it is the new one."""


class Instance(Protocol):
    """The supervisor."""

    @property
    def is_ready(self) -> bool:
        """Whether new connections are welcome."""

    def status(self) -> dict[str, Any]:
        """All there is to know, as plain values."""

    def config(self) -> bytes:
        """The configuration that serves, as MessagePack."""

    async def reload(self) -> ReloadResult:
        """Change over to the configuration as it is now."""

    def end(self) -> None:
        """Drain and end."""


class Faults(Protocol):
    """The faults that can be set while the instance runs."""

    def listed(self) -> Sequence[Mapping[str, Any]]:
        """What has which."""

    async def set(self, name: str, faults: Sequence[str | Mapping[str, Any]]) -> ReloadResult:
        """Let a listener or route have these."""

    async def clear(self, name: str) -> ReloadResult:
        """Let it, or ("") everything, have what the configuration says."""


class Caches(Protocol):
    """What is kept of answers. ValueError, a sentence, for a pattern that is none."""

    async def stored(self, pattern: str, limit: int) -> dict[str, Any]:
        """What is stored and meant."""

    async def shown(self, url: str) -> dict[str, Any]:
        """What is stored for one URL."""

    async def purge(self, pattern: str, *, soft: bool) -> dict[str, Any]:
        """Forget what is meant, or let it be stale."""


class Learned(Protocol):
    """Clients whose tunnels are let through unread, since they do not believe our certificates."""

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """Client, host, and for how many seconds more."""

    async def forget(self, host: str) -> int:
        """Look into tunnels to a host again, or ("") to all; how many clients that is about."""


class Certificates(Protocol):
    """The certificates of listeners."""

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """How each stands."""


class Access(Protocol):
    """Access rules and block lists. ValueError, a sentence, for what cannot be asked; LookupError for what is not
    known."""

    async def rows(self) -> dict[str, Any]:
        """`rules` and `blocklists`, each with its hits."""

    async def explained(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Why a request would be let through or refused (`config.explaining.Question`)."""

    async def of_exchange(self, reference: str) -> dict[str, Any]:
        """Why an exchange was, and what would be decided now."""


class Scripts(Protocol):
    """Files of users' own functions."""

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """What each has, and what went wrong in it."""


class Upstreams(Protocol):
    """The servers behind gateways."""

    def told(self) -> Sequence[Mapping[str, Any]]:
        """What each upstream is."""

    async def rows(self) -> Sequence[Mapping[str, Any]]:
        """How each stands."""

    async def drain(self, server: str, *, undo: bool) -> ReloadResult:
        """Let one get no new requests, or get them again."""


class Firewall(Protocol):
    """What the firewall has matched. LookupError for what is not there, ValueError for what cannot be: sentences."""

    async def listed(self, query: str, limit: int) -> dict[str, Any]:
        """The latest matches, the rules that match most often, and how it is set."""

    async def shown(self, id: int) -> dict[str, Any]:
        """One exchange."""

    async def tried(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What changed rules would make of recorded exchanges."""


class Experiments(Protocol):
    """The books of experiments. LookupError for what is not there, ValueError for what cannot be: sentences."""

    async def listed(self) -> Sequence[ExperimentView]:
        """Every experiment."""

    async def shown(self, name: str) -> ExperimentView:
        """One of them."""

    async def trend(self, name: str) -> Trend:
        """How what is known of one of them came to be."""

    async def decide(
        self, name: str, action: Action, *, variant: str = "", who: str = "", why: str = ""
    ) -> ReloadResult:
        """Pause it, resume it, promote a variant, roll it back."""

    async def post(self, name: str, goal: str, unit: str, value: float = 1.0) -> bool:
        """Note that a unit has come to a goal; whether it takes part."""


class Replayed(Protocol):
    """What came of a request that was sent again: the status of its answer, or the failure."""

    @property
    def exchange(self) -> str:
        """The exchange that it was."""

    @property
    def status(self) -> int:
        """The answer's, 0 for none."""

    @property
    def failure(self) -> str:
        """The kind of the failure, empty when there was none."""

    @property
    def detail(self) -> str:
        """What there is to say about the failure."""


Replay = Callable[["HeldMessage", "Summary"], Awaitable[Replayed]]
"""Sends a request again as the record of it says, but for what the message says. `Failure` when nobody can."""


@dataclass(frozen=True, slots=True)
class Records:
    """The journal: a thread that writes, and readers. `counting` is another reader, so that counting what matches a
    query, which may take half a second, keeps nobody waiting."""

    thread: JournalThread
    reader: Reader
    counting: Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """See the module. `links` gives for each role the URL at which a browser is let in, `metrics`
    what was counted, for monitoring."""

    instance: Instance
    faults: Faults | None = None
    caches: Caches | None = None
    upstreams: Upstreams | None = None
    upstream_history: UpstreamHistory | None = None
    access: Access | None = None
    certificates: Certificates | None = None
    learned: Learned | None = None
    scripts: Scripts | None = None
    records: Records | None = None
    replay: Replay | None = None
    review: Review | None = None
    experiments: Experiments | None = None
    firewall: Firewall | None = None
    spools: Sequence[Spool] | None = None
    overview: Overview | None = None
    events: Events = field(default_factory=Events)
    links: Callable[[], Mapping[str, str]] | None = None
    metrics: Callable[[], str] | None = None
