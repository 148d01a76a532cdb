"""The `[[experiment]]` table of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from interpose.core.experiment.policy import Decision, Long, Share
from interpose.core.units import Ratio

Name = Annotated[str, Meta(extra={"kind": "name"})]
Label = Annotated[str, Meta(extra={"kind": "label"})]
Condition = Annotated[str, Meta(extra={"kind": "condition"})]
Query = Annotated[str, Meta(extra={"kind": "query"})]
CookieName = Annotated[str, Meta(extra={"kind": "token"})]
PathPrefix = Annotated[str, Meta(extra={"kind": "path"})]
Network = Annotated[str, Meta(extra={"kind": "network"})]
File = Annotated[str, Meta(extra={"kind": "file"})]
FieldText = Annotated[str, Meta(extra={"kind": "field_line"})]
ValueText = Annotated[str, Meta(extra={"kind": "value"})]
PostPath = Annotated[str, Meta(extra={"kind": "post_path"})]
Units = Annotated[int, Meta(ge=1, le=100_000_000)]
SomeBytes = Annotated[int, Meta(ge=256, le=16 << 20)]


class Level(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the values of a factor, and what it changes."""

    name: Name
    """What fields and tables call it."""

    weight: Ratio = 1.0
    """Its part of the units, in proportion to the other levels."""

    upstream: Name = ""
    """Where its requests go, instead of the route's upstream. Empty: there."""

    prefix: PathPrefix = "/"
    """What is put before the path: `/v2` makes `/v2/cart` of `/cart`."""

    request_fields: tuple[FieldText, ...] = ()
    """Fields that requests get, in the place of those of the same names: `X-Theme: dark`."""

    response_fields: tuple[FieldText, ...] = ()
    """The same for answers."""


class Factor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is varied. Its first level is how things are without the experiment."""

    name: Name
    """What fields and tables call it, and queries: `variant.NAME`."""

    levels: tuple[Level, ...] = msgspec.field(default=(), name="level")
    """Two of them, or more."""


class Listed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One combination of levels that is tried."""

    levels: Label
    """One level of each factor: `button=green, layout=new`."""

    weight: Ratio = 1.0
    """Its part of the units, in proportion to the other combinations."""


class Goal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a unit may come to, after it was shown something."""

    name: Name
    """What tables call it."""

    when: Condition = ""
    """The exchanges with which a unit comes to it, as a query: `method:POST path:/orders status:2xx`. Empty: it is
    posted."""

    kind: Literal["conversion", "sum", "mean"] = "conversion"
    """Whether a unit came to it at all; or the sum of its values, 0 for who has none; or the mean of its values, of
    those who have one."""

    value: ValueText = ""
    """(sum, mean) Where the value is: `took`, the seconds of the exchange; `field:NAME` of the answer; `json:/a/b`,
    a place in its content (a JSON pointer). Empty: it is posted."""

    max_json_bytes: SomeBytes = 65536
    """(json) The longest content that is read for its value."""

    better: Literal["more", "less"] = "more"
    """Whether more of it is better, or less."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Variants of something, given to clients by lot, and what comes of each."""

    name: Name
    """What it is called; the field `Experiment-NAME` tells servers of it."""

    routes: tuple[Label, ...] = ()
    """The routes on which clients get variants, by name. Empty: all of gateways."""

    when: Condition = ""
    """The requests with which clients get them, as a query: `-request.user-agent:*bot*`. Empty: all."""

    unit: Literal["cookie", "user", "client"] = "cookie"
    """Who gets the same variant each time: a browser, by a cookie that it is given; a user, once authentication says
    who that is; or an address that connects."""

    cookie: CookieName = "interpose-unit"
    """(cookie) Its name. Experiments with the same one have the same units."""

    cookie_age_s: Long = 31_536_000.0
    """(cookie) How long browsers keep it."""

    salt: Label = ""
    """What the lot depends on besides the unit. Another one draws anew, and begins with empty books. Empty: the
    name."""

    share: Share = 1.0
    """The part of the units that takes part."""

    holdout: Share = 0.0
    """The part of the units that is kept out for good, when a winner is promoted too; the same in all experiments of a
    layer."""

    layer: Name = ""
    """Experiments of the same layer share no unit. Empty: it goes with any other."""

    layer_weight: Ratio = 1.0
    """(with layer) Its part of the layer, in proportion to the others."""

    tell_upstream: bool = True
    """Whether servers are told the levels, in the field `Experiment-NAME`."""

    paused: bool = False
    """Nobody takes part."""

    promoted: Label = ""
    """The combination that everybody gets but the holdout: `button=green`. Empty: none, it runs."""

    testers_from: tuple[Network, ...] = ()
    """Networks whose clients may choose: by the parameter, the cookie or the field `Experiment-NAME`, with levels as
    its value. They are not counted."""

    testers_key_file: File | None = None
    """A file with a secret; who has it may choose from anywhere, with the secret and a colon before the levels."""

    max_units: Units = 1_000_000
    """Units that are kept, at most; of new ones beyond that nothing is counted but that they came. A million take about
    100 MB of disk."""

    post_path: PostPath = ""
    """A path at which pages may post goals that have no `when`: `{"goal": "signup"}`. Empty: only the console and its
    API take them."""

    factors: tuple[Factor, ...] = msgspec.field(default=(), name="factor")
    """What is varied. Without `variant` each combination of their levels is a variant."""

    variants: tuple[Listed, ...] = msgspec.field(default=(), name="variant")
    """The combinations that are tried, when not all are. The first is the control."""

    goals: tuple[Goal, ...] = msgspec.field(default=(), name="goal")
    """What counts."""

    decision: Decision | None = None
    """What it may decide by itself. Without this table it decides nothing, and says what is known."""
