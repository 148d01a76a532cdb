"""What the library is told: the options of a firewall as its own directives, around the rule set.

    directives of ours -> crs-setup.conf -> levels and thresholds -> exclusions with a condition -> plugins (before)
    -> rules/*.conf -> plugins (after) -> files of your own -> exclusions for all -> reports of the sums

Nothing that a client sends gets in here. Which exclusions hold for a request is decided in the worker, by queries; the
library learns it from UNIQUE_ID, the one variable that we choose: `1-2f,D,3,` is exchange 1-2f, on a route that only
detects, for which exclusion 3 holds.

Of a file, the library says the name in each of its messages. Directories are given to it under names that nobody can
guess, so that text in a request cannot pass for the rest of a message (`log_lines`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from interpose.filters.firewall.options import Exclusion, Firewall
from interpose.protocol.number import decimal

DEBIAN_RULE_SET = "/usr/share/modsecurity-crs"
DEBIAN_SETUP = "/etc/modsecurity/crs/crs-setup.conf"
LIBRARY = "libmodsecurity.so.3"
DETECTS = "D"
FIRST_ID = 8_400_000
"""Numbers of our own rules; the Core Rule Set has 900000 to 999999, and leaves up to 99999 to everybody."""
REFUSING = frozenset(str(FIRST_ID + number) for number in (3, 4, 5))
"""Those of ours that refuse by themselves: content that cannot be read for certain."""
REPORT_IDS = (str(FIRST_ID + 90), str(FIRST_ID + 91))

LEFT_OUT = (
    "SecRequestBodyInMemoryLimit, which this version of the library refuses: contents are bounded by max_body_bytes",
    "addresses by country (910100 to 910130 and lists of bad addresses): there is no database; use rules with from:",
    "counting requests (912): each process would count for itself; use limits",
    "the library's audit log: the journal has what matched",
)
"""What of the rule set has no effect here, in words."""

_ID = re.compile(r"""["',\s]id:'?([0-9]{1,10})""")
_ID_OR_LEVEL = re.compile(_ID.pattern + r"|paranoia-level/([1-4])")
_LEVELS = range(1, 5)

_BASE = """
SecRuleEngine On
SecAuditEngine Off
SecRequestBodyAccess On
SecRequestBodyLimit {body_limit}
SecRequestBodyNoFilesLimit {body_limit}
SecRequestBodyLimitAction Reject
SecRequestBodyJsonDepthLimit 256
SecArgumentsLimit 1000
SecResponseBodyAccess {responses}
SecResponseBodyLimit {response_limit}
SecResponseBodyLimitAction ProcessPartial
SecPcreMatchLimit 100000
SecPcreMatchLimitRecursion 100000
SecArgumentSeparator &
SecCookieFormat 0
SecUploadKeepFiles Off
SecRule UNIQUE_ID "@contains ,D," "id:{id}00,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly"
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application(?:/soap\\+|/)|text/)xml|\\+xml\\s*(?:;|$)" \
 "id:{id}01,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/(?:[a-z0-9.-]+\\+)?json" \
 "id:{id}02,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQBODY_ERROR "!@eq 0" \
 "id:{id}03,phase:2,t:none,log,deny,status:400,severity:2,msg:'The content cannot be read as what its type says'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
 "id:{id}04,phase:2,t:none,log,deny,status:400,severity:2,msg:'The parts of the content cannot be told apart surely'"
SecRule &ARGS "@ge 1000" \
 "id:{id}05,phase:2,t:none,log,deny,status:400,severity:2,msg:'The request has too many arguments'"
"""

_LEVELS_TEXT = """
SecAction "id:{id}10,phase:1,nolog,pass,t:none,\
setvar:tx.paranoia_level={blocking},setvar:tx.executing_paranoia_level={detection},\
setvar:tx.blocking_paranoia_level={blocking},setvar:tx.detection_paranoia_level={detection},\
setvar:tx.inbound_anomaly_score_threshold={inbound},setvar:tx.outbound_anomaly_score_threshold={outbound},\
setvar:'tx.allowed_methods={methods}'{applications}"
"""


class Text(NamedTuple):
    """`text` includes files below names of `links`, which are directories. `files` are those of the rule set."""

    text: str
    links: dict[str, str]
    files: tuple[str, ...]


def rule_text(options: Firewall) -> Text:
    """See the module. ValueError when there is no rule set."""
    rules = rules_of(options)
    if not _files(rules, ".conf"):
        where = f"there are no rules in {rules}"
        raise ValueError(f"{where}; install modsecurity-crs, name a rule set in firewall.rule_set, or set core_rules")
    links = {"rules": rules}
    known = ids_in(rules) if any(one.variables for one in options.exclusions) else set()
    includes = [*_includes(links, "setup", _setup(options)), _levels(options)]
    includes += _conditional(options, known)
    for ending in ("-config.conf", "-before.conf"):
        includes += _plugins(links, options.plugins, ending)
    includes += [f"Include {{rules}}/{name}" for name in _files(rules, ".conf")]
    includes += _plugins(links, options.plugins, "-after.conf")
    for number, file in enumerate(options.include):
        includes += _includes(links, f"include{number}", file)
    includes += _unconditional(options, known)
    return Text("\n".join([_base(options), *includes, *_reports()]), links, tuple(_files(rules, ".conf")))


def ids_in(directory: str) -> set[int]:
    """The numbers of the rules that the files of a directory have."""
    found: set[int] = set()
    for name in _files(directory, ".conf"):
        with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
            found |= {_number(text) for line in file if not line.startswith("#") for text in _ID.findall(line)}
    return found


def levels_in(directory: str) -> dict[int, int]:
    """The level of paranoia of each rule of a directory that says one."""
    found: dict[int, int] = {}
    for name in _files(directory, ".conf"):
        with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
            text = "".join(line for line in file if not line.startswith("#"))
        number = 0
        for rule, level in _ID_OR_LEVEL.findall(text):
            number = _number(rule) if rule else number
            if level:
                found[number] = _number(level)
    return found


def expanded(rules: str, known: set[int]) -> list[int]:
    """The numbers that `942100` or `942100-942199` means."""
    first, _, last = rules.partition("-")
    return sorted(one for one in known if _number(first) <= one <= _number(last or first))


def files_of(options: Firewall) -> list[str]:
    """Every file that is read for these rules."""
    rules = rules_of(options)
    found = [os.path.join(rules, name) for name in _files(rules, "")]
    if options.plugins:
        found += [os.path.join(options.plugins, name) for name in _files(options.plugins, "")]
    return [*found, _setup(options), *options.include]


def rules_of(options: Firewall) -> str:
    """The directory of the rule set's files."""
    return os.path.join(options.rule_set or DEBIAN_RULE_SET, "rules")


def flags_for(exchange: str, *, detects: bool, exclusions: list[int]) -> str:
    """What UNIQUE_ID is for a request to which these exclusions apply (by number, from 0)."""
    named = [exchange, DETECTS] if detects else [exchange]
    return ",".join([*named, *map(str, exclusions), ""]) if detects or exclusions else exchange


def _number(text: str) -> int:
    return decimal(text.encode()) or 0


def _base(options: Firewall) -> str:
    return _BASE.format(
        id=FIRST_ID // 100,
        body_limit=options.max_body_bytes + 1,
        response_limit=max(1, options.max_response_bytes),
        responses="On" if options.responses else "Off",
    )


def _levels(options: Firewall) -> str:
    return _LEVELS_TEXT.format(
        id=FIRST_ID // 100,
        blocking=options.blocking_paranoia,
        detection=options.detects_to,
        inbound=options.inbound_threshold,
        outbound=options.outbound_threshold,
        methods=" ".join(options.methods),
        applications="".join(f",setvar:tx.crs_exclusions_{name}=1" for name in options.applications),
    )


def _setup(options: Firewall) -> str:
    own = os.path.join(options.rule_set, "crs-setup.conf") if options.rule_set else ""
    return options.setup or (own if own and os.path.exists(own) else DEBIAN_SETUP)


def _includes(links: dict[str, str], name: str, file: str) -> list[str]:
    links[name] = os.path.dirname(file)
    return [f"Include {{{name}}}/{os.path.basename(file)}"]


def _plugins(links: dict[str, str], directory: str, ending: str) -> list[str]:
    names = _files(directory, ending) if directory else []
    if names:
        links["plugins"] = directory
    return [f"Include {{plugins}}/{name}" for name in names]


def _files(directory: str, ending: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith(ending))
    except OSError:
        return []


def _conditional(options: Firewall, known: set[int]) -> Iterator[str]:
    """Exclusions for some requests: one directive for each action, since the library takes no list of them."""
    number = FIRST_ID + 1000
    for place, exclusion in enumerate(options.exclusions):
        for action in _actions(exclusion, known) if exclusion.when else ():
            yield f'SecRule UNIQUE_ID "@contains ,{place}," "id:{number},phase:1,pass,nolog,t:none,ctl:{action}"'
            number += 1


def _actions(exclusion: Exclusion, known: set[int]) -> Iterator[str]:
    if not exclusion.variables:
        yield from (f"ruleRemoveById={rules}" for rules in exclusion.rules)
        yield from (f"ruleRemoveByTag={tag}" for tag in exclusion.tags)
        return
    for variable in exclusion.variables:
        for rules in exclusion.rules:
            yield from (f"ruleRemoveTargetById={one};{variable}" for one in expanded(rules, known))
        yield from (f"ruleRemoveTargetByTag={tag};{variable}" for tag in exclusion.tags)


def _unconditional(options: Firewall, known: set[int]) -> Iterator[str]:
    for exclusion in options.exclusions:
        if exclusion.when:
            continue
        if not exclusion.variables:
            yield from (f"SecRuleRemoveById {rules}" for rules in exclusion.rules)
            yield from (f'SecRuleRemoveByTag "{tag}"' for tag in exclusion.tags)
        for variable in exclusion.variables:
            for rules in exclusion.rules:
                yield from (f'SecRuleUpdateTargetById {one} "!{variable}"' for one in expanded(rules, known))
            yield from (f'SecRuleUpdateTargetByTag "{tag}" "!{variable}"' for tag in exclusion.tags)


def _reports() -> Iterator[str]:
    """Rules that say what was summed, in the versions' own variables: inbound by level, outbound by level. A request
    that was refused is reported in the phase of logging, which comes in any case."""
    names = [
        *(f"tx.{name}anomaly_score_pl{level}" for name in ("", "inbound_") for level in _LEVELS),
        *(f"tx.outbound_anomaly_score_pl{level}" for level in _LEVELS),
    ]
    sums = ",".join(f"%{{{name}}}" for name in names)
    looked_at = "|".join(name.upper().replace("TX.", "TX:") for name in names)
    for number, phase in zip(REPORT_IDS, (2, 5), strict=True):
        yield f'SecRule {looked_at} "@gt 0" "id:{number},phase:{phase},pass,log,t:none,msg:\'{sums}\'"'
