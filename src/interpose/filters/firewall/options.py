"""The `[firewall]` table of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from interpose.core.units import Timeout

Query = Annotated[str, Meta(extra={"kind": "query"})]
Label = Annotated[str, Meta(extra={"kind": "label"})]
Name = Annotated[str, Meta(extra={"kind": "name"})]
File = Annotated[str, Meta(extra={"kind": "file"})]
Folder = Annotated[str, Meta(extra={"kind": "folder"})]
Method = Annotated[str, Meta(extra={"kind": "method"})]
MediaType = Annotated[str, Meta(extra={"kind": "media"})]
RuleIds = Annotated[str, Meta(extra={"kind": "rule_ids"})]
RuleTag = Annotated[str, Meta(extra={"kind": "rule_tag"})]
Variable = Annotated[str, Meta(extra={"kind": "rule_variable"})]
Level = Annotated[int, Meta(ge=1, le=4)]
Score = Annotated[int, Meta(ge=1, le=100_000)]
InspectedBytes = Annotated[int, Meta(ge=0, le=16 << 20)]
Application = Literal["drupal", "wordpress", "nextcloud", "dokuwiki", "cpanel", "xenforo"]


class FirewallRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule of your own, in the query language. All that match count, in their order, until one blocks."""

    name: Label = ""
    """What log and console call it. Empty: its query."""

    when: Query
    """What it means: `path:/admin -from:10.0.0.0/8`."""

    side: Literal["inbound", "outbound"] = "inbound"
    """Requests, or the heads of answers."""

    action: Literal["block", "log", "score"] = "block"
    """Refuse it, note it, or add `score` to the sum that is compared with the threshold."""

    score: Annotated[int, Meta(ge=0, le=1000)] = 5
    """(action = "score") What a match adds. 5 is what a critical rule of the Core Rule Set adds."""

    message: Label = ""
    """Why, for the log and the client. Empty: its name."""


class Exclusion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of the rule set is not asked: whole rules, or what they would look at."""

    when: Query = ""
    """For which requests, by what their heads say: `route:blog path:/edit`. Empty: for all."""

    rules: tuple[RuleIds, ...] = ()
    """Numbers of rules: `942100`, or `942100-942199`."""

    tags: tuple[RuleTag, ...] = ()
    """Tags of rules: `attack-sqli`."""

    variables: tuple[Variable, ...] = ()
    """What those rules do not look at: `ARGS:content`, `REQUEST_COOKIES:session`. Empty: they are not asked at all."""


class Firewall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules about requests to gateways and their answers. The Core Rule Set is asked in processes of its own."""

    mode: Literal["block", "detect", "off"] = "block"
    """Refuse what reaches a threshold; or note it only; or nothing, but for routes that say otherwise."""

    listeners: tuple[Name, ...] = ()
    """The gateways it applies to, by name. Empty: all of them."""

    core_rules: bool = True
    """Whether the Core Rule Set is asked. Without it there are your own rules only, and no processes."""

    rule_set: Folder = ""
    """Where the Core Rule Set is: the directory that has `rules/` in it. Empty: where Debian has it."""

    setup: File | None = None
    """The `crs-setup.conf` to use. Without it: that of the rule set, or Debian's."""

    plugins: Folder = ""
    """A directory of plugins of the Core Rule Set (`*-config.conf`, `*-before.conf`, `*-after.conf`). Empty: none."""

    include: tuple[File, ...] = ()
    """Files of rules of your own in the library's language (SecRule), read after the rule set."""

    library: File | None = None
    """The shared library `libmodsecurity.so.3`. Without it: the system's."""

    blocking_paranoia: Level = 1
    """Rules up to this level of suspicion count for blocking. Each level has more rules, and more false alarms."""

    detection_paranoia: Annotated[int, Meta(ge=0, le=4)] = 0
    """Rules up to this level are asked and noted; what lies above `blocking_paranoia` blocks nothing. 0: the same."""

    inbound_threshold: Score = 5
    """A request whose matches add up to this is refused: critical 5, error 4, warning 3, notice 2."""

    outbound_threshold: Score = 4
    """An answer whose matches add up to this is withheld."""

    methods: tuple[Method, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    """Methods that the rule set allows."""

    applications: tuple[Application, ...] = ()
    """Applications behind it for which the rule set has exclusions of its own (up to version 3)."""

    max_body_bytes: InspectedBytes = 131072
    """How much of a request's content is inspected, its coding undone. It is kept in memory until then."""

    larger_body: Literal["block", "pass"] = "block"
    """What happens to larger requests: 413, or their heads are inspected only."""

    responses: bool = True
    """Whether answers are inspected too."""

    max_response_bytes: InspectedBytes = 65536
    """How much of an answer's content is inspected: its beginning. It waits until that has come."""

    response_types: tuple[MediaType, ...] = ("text/html", "text/plain", "text/xml", "application/json")
    """Media types of answers whose content is inspected; of others the head is."""

    processes: Annotated[int, Meta(ge=1, le=64)] = 2
    """Firewall processes of each worker. One is replaced while the others go on."""

    max_waiting: Annotated[int, Meta(ge=1, le=10_000)] = 128
    """How many may wait for a process of a worker. What comes on top is treated as `on_failure` says."""

    deadline_s: Timeout = 1.0
    """How long the rules may take over one request or answer, and how long one may wait for them. A process past it is
    killed and replaced."""

    on_failure: Literal["block", "pass"] = "block"
    """What happens to what could not be inspected, since that took too long or a process died: 503, or it passes; and,
    without a rule set that has an opinion on it, to a content whose coding cannot be undone: 415, or it passes."""

    rules: tuple[FirewallRule, ...] = field(default=(), name="rule")
    """Rules of your own, asked before the rule set."""

    exclusions: tuple[Exclusion, ...] = field(default=(), name="exclude")
    """What of the rule set is not asked."""

    @property
    def detects_to(self) -> int:
        """The level up to which rules are asked."""
        return max(self.blocking_paranoia, self.detection_paranoia)


class RouteFirewall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the firewall treats one route, where that differs."""

    mode: Literal["", "block", "detect", "off"] = ""
    """Empty: as `firewall.mode` says."""

    larger_body: Literal["", "block", "pass"] = ""
    """Empty: as `firewall.larger_body` says."""
