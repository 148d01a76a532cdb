"""From the `[firewall]` table to the filter of a route, and to the processes that it asks."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from interpose.config.model import OPEN_ROLES, Config, Listener, Route
from interpose.config.parts import Parts
from interpose.core.handler import Filter

if TYPE_CHECKING:
    from interpose.filters.firewall.options import Firewall
    from interpose.filters.firewall.pool import Pool

log = logging.getLogger("interpose")

CHECK_S = 60.0


def options_for(config: Config, listener: Listener, route: Route | None) -> Firewall | None:
    """How requests of a route of a listener are inspected; None when they are not."""
    options = config.firewall
    if options is None or listener.role in OPEN_ROLES or (options.listeners and listener.name not in options.listeners):
        return None
    own = route.firewall if route is not None else None
    if own is not None:
        options = replace(options, mode=own.mode or options.mode, larger_body=own.larger_body or options.larger_body)
    return None if options.mode == "off" or not (options.core_rules or options.rules) else options


def in_words(options: Firewall) -> str:
    """What `interpose check` shows."""
    words = [f"{options.mode} at {options.inbound_threshold} in, {options.outbound_threshold} out"]
    if options.core_rules:
        level = f"paranoia {options.blocking_paranoia}"
        if options.detects_to > options.blocking_paranoia:
            level += f", noted up to {options.detects_to}"
        words.append(f"Core Rule Set, {level}, {options.processes} processes, {options.deadline_s:g} s")
        if options.exclusions:
            words.append(_counted(len(options.exclusions), "exclusion"))
    if options.rules:
        words.append(_counted(len(options.rules), "own rule"))
    if options.larger_body == "pass":
        words.append(f"content above {options.max_body_bytes} bytes passes")
    return "; ".join(words)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def firewall_filter(options: Firewall, parts: Parts) -> Filter:
    """The filter. ValueError, a sentence, when there is no rule set."""
    # Who inspects nothing need not have any of it in memory.
    from interpose.filters.firewall.filter import Counts
    from interpose.filters.firewall.filter import Firewall as Inspecting

    pool = pool_of(options, parts) if options.core_rules else None
    return Inspecting(options, pool, parts.get(Counts, None, Counts))


def pool_of(options: Firewall, parts: Parts) -> Pool:
    """The processes of this worker that have these rules, as their files are now."""
    from interpose.filters.firewall.pool import Pool

    # What is asked in the worker, and what differs between routes, takes no other process.
    asked = replace(options, rules=(), mode="block", larger_body="block", listeners=(), on_failure="block")
    return parts.get(Pool, (asked, _state_of_files(asked)), partial(new_pool, asked))


def new_pool(options: Firewall) -> Pool:
    """Processes for these rules, not started yet."""
    from interpose.filters.firewall.messages import Setup
    from interpose.filters.firewall.pool import Pool
    from interpose.filters.firewall.rule_text import LIBRARY, rule_text

    text = rule_text(options)
    setup = Setup(options.library or LIBRARY, text.text, text.links)
    return Pool(setup, count=options.processes, queue=options.max_waiting, deadline_s=options.deadline_s)


async def start_pools(parts: Parts, *, is_first: bool) -> None:
    """Have the processes ready before traffic comes. ValueError at the first start, when the rules are broken; a
    configuration that comes later was checked, and nothing is let pass without them."""
    from interpose.filters.firewall.pool import Pool

    for pool in parts.every(Pool):
        try:
            await pool.start()
        except ValueError as error:
            if is_first:
                raise
            log.error("%s", error)


def counters(parts: Parts) -> dict[str, float]:
    """What firewalls have done, where there are any."""
    if "interpose.filters.firewall.filter" not in sys.modules:  # nobody has made one
        return {}
    from interpose.filters.firewall.filter import Counts
    from interpose.filters.firewall.pool import Pool

    if not (made := parts.every(Counts)):
        return {}
    pools = parts.every(Pool)
    return {
        "firewall_blocked_total": float(sum(counts.blocked for counts in made)),
        "firewall_detected_total": float(sum(counts.detected for counts in made)),
        "firewall_skipped_total": float(sum(counts.skipped for counts in made)),
        "firewall_deadlines_total": float(sum(pool.deadlines_total for pool in pools)),
        "firewall_deaths_total": float(sum(pool.deaths_total for pool in pools)),
    }


def checked(config: Config) -> Config:
    """The same configuration, whose rules can be loaded; ValueError, each line a sentence, otherwise."""
    if problems := list(unusable_rules(config)):
        raise ValueError("\n".join(problems))
    return config


def unusable_rules(config: Config) -> Iterator[str]:
    """A sentence for each thing that keeps the rules from being loaded, found out by a process of its own."""
    options = config.firewall
    if options is None or not options.core_rules:
        return
    from interpose.filters.firewall.messages import Setup, encode
    from interpose.filters.firewall.pool import COMMAND
    from interpose.filters.firewall.rule_text import LIBRARY, rule_text

    try:
        text = rule_text(options)
    except ValueError as error:
        yield f"firewall: {error}"
        return
    setup = encode(Setup(options.library or LIBRARY, text.text, text.links))
    try:
        done = subprocess.run([*COMMAND, "check"], input=setup, capture_output=True, timeout=CHECK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield f"firewall: the rules could not be tried out: {error}"
        return
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip() or f"the process ended with status {done.returncode}"
        yield from (f"firewall: {line}" for line in said.splitlines())


def left_out(config: Config) -> list[str]:
    """What of the rule set has no effect here, in words."""
    if config.firewall is None or not config.firewall.core_rules:
        return []
    from interpose.filters.firewall.rule_text import LEFT_OUT

    return list(LEFT_OUT)


def _state_of_files(options: Firewall) -> tuple[tuple[str, int, int], ...]:
    """The rules' files as they are now: a reload after one was changed means other processes."""
    from interpose.filters.firewall.rule_text import files_of

    found = []
    for path in files_of(options):
        with contextlib.suppress(OSError):  # whoever reads it will say so
            state = os.stat(path)
            found.append((path, state.st_mtime_ns, state.st_size))
    return tuple(found)
