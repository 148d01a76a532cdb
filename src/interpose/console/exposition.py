"""What an instance counted, as Prometheus reads it: its text format, version 0.0.4.

Units are seconds and bytes, what only grows ends in `_total`, and of every name the unit and the meaning are in HELP.
Labels have as many values as the configuration has listeners, routes and servers: clients cannot add one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from interpose.console.upstream_history import USABLE
from interpose.core.tally import BOUNDS_S, STATUSES, Tally

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Sequence[tuple[str, str]]
Sample = tuple[str, Labels, float]
"""What stands behind the name of its family (`_bucket`), its labels, its value."""

_NAMES: Final = {
    "requests_total": ("exchanges_total", "Requests, and conversations below HTTP, that have begun."),
    "exchanges": ("running_exchanges", "Exchanges and conversations that have not ended."),
    "failures_total": ("failures_total", "Exchanges that ended early or that Interpose answered with an error."),
    "connections": ("connections", "Open connections of clients, tunnels not included."),
    "connections_total": ("connections_total", "Connections of clients that were accepted."),
    "refused_connections_total": ("refused_connections_total", "Connections closed at once, above a limit."),
    "failed_handshakes_total": ("failed_handshakes_total", "TLS handshakes of clients that came to nothing."),
    "upstream_connections": ("upstream_connections", "Open connections to servers, idle ones included."),
    "tunnels": ("tunnels", "Open tunnels."),
    "datagram_sessions": ("datagram_sessions", "Open sessions of relays of datagrams."),
    "faults_total": ("faults_total", "Faults that were made on purpose."),
    "log_lines_dropped_total": ("log_lines_dropped_total", "Lines of the access log that could not be written."),
    "records_total": ("records_total", "Exchanges given to the journal."),
    "records_dropped_total": ("records_dropped_total", "Exchanges that the journal was too slow for."),
    "experiment_notes_dropped_total": (
        "experiment_notes_dropped_total",
        "What was seen of experiments and could not be kept until it was written.",
    ),
    "spans_total": ("spans_total", "Spans that the collector of traces has taken."),
    "spans_dropped_total": ("spans_dropped_total", "Spans that it did not take, or that came too fast for it."),
    "script_errors_total": ("script_errors_total", "Errors of users' scripts."),
    "scripts_broken": ("scripts_broken", "Changed scripts that cannot be loaded, in each worker."),
    "script_functions_off": ("script_functions_off", "Functions of scripts that are not called, since they fail."),
    "link_dropped_total": ("link_dropped_total", "Messages of workers that the supervisor was too slow for."),
    "stalls_total": ("stalls_total", "Times that the loop of a worker stood still."),
    "firewall_blocked_total": ("firewall_blocked_total", "Requests that the firewall refused, and answers withheld."),
    "firewall_detected_total": ("firewall_detected_total", "Those that it would have, where it only detects."),
    "firewall_skipped_total": ("firewall_skipped_total", "Those that it let pass without inspecting all of them."),
    "firewall_deadlines_total": ("firewall_deadlines_total", "Firewall processes that took too long and were killed."),
    "firewall_deaths_total": ("firewall_deaths_total", "Firewall processes that died over a request."),
    "cache_hits_total": ("cache_hits_total", "Requests that a cache answered with what was fresh."),
    "cache_stale_total": ("cache_stale_total", "Requests that a cache answered with what was stale."),
    "cache_validated_total": ("cache_validated_total", "Requests that a cache answered with what it had validated."),
    "cache_misses_total": ("cache_misses_total", "Requests that a cache had to ask a server for."),
    "cache_collapsed_total": ("cache_collapsed_total", "Requests that a cache answered from another's fetch."),
    "cache_bypassed_total": ("cache_bypassed_total", "Requests that passed a cache by."),
    "cache_stored_total": ("cache_stored_total", "Answers that caches stored."),
    "cache_evicted_total": ("cache_evicted_total", "Answers that made way for others in a cache."),
    "cache_refused_total": ("cache_refused_total", "Answers that a cache had no room for."),
    "cache_purged_total": ("cache_purged_total", "Answers that were purged."),
    "cache_invalidated_total": ("cache_invalidated_total", "Answers that a change at their URL made invalid."),
    "cache_objects": ("cache_objects", "Answers in caches."),
    "cache_bytes": ("cache_bytes", "Size of the answers in caches."),
    "cache_fetches": ("cache_fetches", "Fetches of caches that run."),
}
"""The counters of workers: what they are called here, and what they mean."""

_OF_ONE_WORKER: Final = {
    "memory_bytes": ("worker_memory_bytes", "Resident memory of a worker."),
    "memory_level": ("worker_memory_level", "What a worker gives up to save memory: 0 nothing, 5 itself."),
    "longest_stall_s": ("worker_longest_stall_seconds", "The longest time that the loop of a worker stood still."),
    "accepting": ("worker_accepting", "Whether a worker takes new connections."),
    "certificate_lifetime_s": (
        "worker_certificate_lifetime_seconds",
        "Until the first of the certificates that a worker serves expires; below zero it has.",
    ),
    "certificates_broken": ("worker_certificates_broken", "Certificates whose files cannot be used as they are."),
}


def exposition(status: Mapping[str, Any], tallies: Iterable[Tally], servers: Sequence[Mapping[str, Any]] = ()) -> str:
    """All of it: `status` is an instance's, `tallies` are what was counted by route and server, `servers` how those
    of upstreams stand."""
    counted = sorted(tallies, key=lambda tally: tally.names)
    lines = [*_of_the_instance(status), *_of_workers(status), *_counters(status.get("counters", {}))]
    lines += _of_routes([tally for tally in counted if tally.what == "route"])
    lines += _of_servers([tally for tally in counted if tally.what == "upstream"])
    lines += _as_they_stand(servers)
    lines += _of_rules([tally for tally in counted if tally.what == "rule"])
    return "\n".join(lines) + "\n"


# --- the instance --------------------------------------------------------------------------------------------------


def _of_the_instance(status: Mapping[str, Any]) -> Iterator[str]:
    about = [("name", status.get("name", "")), ("version", status.get("version", ""))]
    yield from _family("build_info", "gauge", "What runs: its name and version.", [("", about, 1)])
    uptime_s = status.get("uptime_s", 0.0)
    yield from _family("uptime_seconds", "gauge", "How long the supervisor has run.", [("", (), uptime_s)])
    ready = status.get("ready", False)
    yield from _family("ready", "gauge", "Whether new connections are welcome.", [("", (), ready)])
    reloads = status.get("reloads", {})
    results: list[Sample] = [("", [("result", result)], reloads.get(result, 0)) for result in ("done", "failed")]
    yield from _family("config_reloads_total", "counter", "Reloads, by what came of them.", results)
    generation: list[Sample] = [("", (), status.get("generation", 0))]
    yield from _family("config_generation", "gauge", "The configuration that serves; each reload adds one.", generation)


def _of_workers(status: Mapping[str, Any]) -> Iterator[str]:
    workers = status.get("workers", ())
    states = [worker.get("state", "") for worker in workers]
    there: list[Sample] = [("", [("state", state)], states.count(state)) for state in sorted(set(states))]
    yield from _family("workers", "gauge", "Worker processes, by what they do.", there)
    restarts: list[Sample] = [("", (), status.get("restarts", 0))]
    yield from _family("worker_restarts_total", "counter", "Workers that were started in place of others.", restarts)
    for key, (name, about) in _OF_ONE_WORKER.items():
        values: list[Sample] = []
        for worker in workers:
            if worker.get("state") != "serving":
                continue  # one that drains has the number of the one that serves in its place
            if (value := worker.get("counters", {}).get(key)) is not None:
                values.append(("", [("worker", f"{worker['number']}")], value))
        yield from _family(name, "gauge", about, values)


def _counters(counters: Mapping[str, float]) -> Iterator[str]:
    for key in sorted(counters):
        if key in _OF_ONE_WORKER:
            continue
        name, about = _NAMES.get(key, (key, ""))
        kind = "counter" if name.endswith("_total") else "gauge"
        words = about or f"{key.removesuffix('_total').replace('_', ' ').capitalize()} (see the manual)."
        yield from _family(name, kind, words, [("", (), counters[key])])


# --- routes and servers --------------------------------------------------------------------------------------------


def _of_routes(tallies: Sequence[Tally]) -> Iterator[str]:
    labels = ("listener", "route")
    about = "HTTP exchanges that have ended, by the class of the status that the client was sent."
    yield from _family("requests_total", "counter", about, _by_status(tallies, labels))
    about = "Time from the first byte of a request to the last of its answer."
    yield from _family("request_duration_seconds", "histogram", about, _by_time(tallies, labels))
    about = "Content that clients were sent."
    content: list[Sample] = [("", _labels(tally, labels), tally.content_bytes) for tally in tallies]
    yield from _family("response_content_bytes_total", "counter", about, content)


def _of_servers(tallies: Sequence[Tally]) -> Iterator[str]:
    labels = ("upstream", "server")
    about = "Requests that were sent to servers, retries included, by the class of their status; none: no answer came."
    yield from _family("upstream_requests_total", "counter", about, _by_status(tallies, labels))
    about = "Time from a request's turn to the first byte of the server's answer, connecting included."
    yield from _family("upstream_latency_seconds", "histogram", about, _by_time(tallies, labels))


def _as_they_stand(servers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    judged = [row for row in servers if row["state"] != "lone"]
    named = [[("upstream", row["upstream"]), ("server", row["server"])] for row in judged]
    up: list[Sample] = [("", labels, row["state"] in USABLE) for labels, row in zip(named, judged, strict=True)]
    yield from _family("upstream_server_up", "gauge", "Whether a server gets requests, as most workers see it.", up)
    active: list[Sample] = [("", labels, row["active"]) for labels, row in zip(named, judged, strict=True)]
    yield from _family("upstream_active_requests", "gauge", "Requests under way on a server.", active)


def _of_rules(tallies: Sequence[Tally]) -> Iterator[str]:
    hits: list[Sample] = [("", _labels(tally, ("of", "rule")), tally.statuses[0]) for tally in tallies]
    yield from _family("rule_hits_total", "counter", "Requests that a rule meant, by what has the rule.", hits)


def _by_status(tallies: Iterable[Tally], names: tuple[str, str]) -> list[Sample]:
    return [
        ("", [*_labels(tally, names), ("status", status)], count)
        for tally in tallies
        for status, count in zip(STATUSES, tally.statuses, strict=True)
    ]


def _by_time(tallies: Iterable[Tally], names: tuple[str, str]) -> list[Sample]:
    samples: list[Sample] = []
    for tally in tallies:
        labels = _labels(tally, names)
        bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        so_far = list(accumulate(tally.times))
        samples += [("_bucket", [*labels, ("le", bound)], count) for bound, count in zip(bounds, so_far, strict=True)]
        samples += [("_sum", labels, tally.seconds), ("_count", labels, so_far[-1])]
    return samples


def _labels(tally: Tally, names: tuple[str, str]) -> list[tuple[str, str]]:
    return list(zip(names, tally.names, strict=True))


# --- the format ----------------------------------------------------------------------------------------------------


def _family(name: str, kind: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    """The lines of one name; none when nothing was counted."""
    lines = [f"interpose_{name}{suffix}{_braced(labels)} {_number(value)}" for suffix, labels, value in samples]
    if lines:
        yield f"# HELP interpose_{name} {about}"
        yield f"# TYPE interpose_{name} {kind}"
        yield from lines


def _braced(labels: Labels) -> str:
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in labels]) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    """Whole numbers as such: a count of millions keeps its last digit."""
    return f"{value:.0f}" if value == round(value) else repr(float(value))
