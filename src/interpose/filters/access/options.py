"""Access rules, as they are configured."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from interpose.core.units import Seconds, Timeout

Query = Annotated[str, Meta(extra={"kind": "query"})]
Label = Annotated[str, Meta(extra={"kind": "label"})]
Name = Annotated[str, Meta(extra={"kind": "name"})]
File = Annotated[str, Meta(extra={"kind": "file"})]
Token = Annotated[str, Meta(extra={"kind": "token"})]
Url = Annotated[str, Meta(extra={"kind": "webhook"})]
Chosen = Literal["client", "user", "method", "host", "port", "path", "url", "listener"]


class AskOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is asked when a rule says `ask`, and for how long the answer holds."""

    service: Url = ""
    """A URL that is sent the question as JSON, and answers `{"allow": true}`, with `message` and `ttl_s` if it
    likes."""

    script: File | None = None
    """Instead of a service: Python with one function marked `@interpose.decision`. It is read again when it changes."""

    fields: tuple[Token, ...] = ()
    """Fields of the request that the question has, besides client, user, groups, method, URL and listener."""

    remember_by: tuple[Chosen, ...] = ("client", "user", "method", "url")
    """What has to be the same for an answer to hold again; `fields` have to be the same too."""

    ttl_s: Seconds = 60.0
    """How long an answer holds that does not say so itself. 0: for one request."""

    max_answers: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Answers that one worker remembers."""

    timeout_s: Timeout = 2.0
    """How long an answer may take."""

    on_failure: Literal["deny", "allow"] = "deny"
    """What happens when there is no answer in time, or one that cannot be read. It is not remembered."""


class AccessRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may go where. The first rule that matches decides; where none does, everything is allowed."""

    name: Label = ""
    """What log, page and `interpose explain` call it. Empty: its query."""

    when: Query = "*"
    """What it means, as a query: `from:10.0.0.0/8 group:staff host:*.example.com`. Without it: everything."""

    action: Literal["allow", "deny", "hold", "ask", "limit"]
    """`hold` has somebody look first (see the desk), `ask` leaves it to a service or to a script of yours, `limit` lets
    it go on under a limit that is for such rules only."""

    message: Label = ""
    """(deny) What the client is told. Empty: which rule it was."""

    status: Annotated[int, Meta(ge=400, le=599)] = 403
    """(deny) The status of the answer."""

    dry_run: bool = False
    """Decide nothing: only count, and note with the exchange what would have happened."""

    ask: AskOptions | None = None
    """(ask) Who is asked."""

    limit: Name = ""
    """(limit) The name of a `[[limit]]` with `only_by_rule`."""

    through: Name = ""
    """The `[[upstream_proxy]]` for what this rule lets go on; `direct` for none. Empty: what the listener
    says."""

    listeners: tuple[Name, ...] = ()
    """The listeners it applies to, by name. Empty: all that people connect to with TCP."""
