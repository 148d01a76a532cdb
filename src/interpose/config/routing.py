"""From a `[[route]]` table to what it takes, what is done on its way, and the end of those that need no server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from interpose.config.model import Config, Listener
from interpose.config.parts import Parts
from interpose.config.route_model import Route
from interpose.config.step import Step
from interpose.core.handler import Handler, Phase
from interpose.engine.own_answers import OwnAnswer, Redirection
from interpose.engine.router import Match
from interpose.engine.static_files import StaticFiles
from interpose.filters.cors import Cors
from interpose.filters.field_edits import FieldEdits
from interpose.filters.limits import Limit, LimitOptions
from interpose.filters.path import PathCheck, PathOptions
from interpose.filters.response_size import ResponseSize
from interpose.filters.rewrite import Rewrite

FILE_THREADS = 4
"""How many files a worker waits for at the same time."""


def match_of(route: Route) -> Match:
    """What the route takes."""
    return Match(
        route.hosts,
        route.path,
        route.exact,
        route.methods,
        route.name,
        route.when,
        route.cors is not None,
    )


def own_end(route: Route, parts: Parts) -> Handler | None:
    """The end of a route that leads to no server."""
    if route.answer is not None:
        return OwnAnswer(route.answer)
    if route.redirect is not None:
        return Redirection(route.redirect)
    if route.files is not None:
        threads = parts.get(ThreadPoolExecutor, "files", partial(ThreadPoolExecutor, FILE_THREADS, "files"))
        return StaticFiles(route.files, threads)
    return None


def open_end_in_words(listener: Listener) -> str:
    """Where requests of clients lead that choose their servers."""
    end = "the server that the client names"
    return f"{end}, through {listener.through}" if listener.through else end


def end_in_words(config: Config, route: Route) -> str:
    """Where the route leads, for people."""
    if route.answer is not None:
        return f"answer {route.answer.status}"
    if route.redirect is not None:
        return f"redirect {route.redirect.status} to {route.redirect.to}"
    if route.files is not None:
        return f"files in {route.files.root}"
    upstream = next(upstream for upstream in config.upstreams if upstream.name == route.upstream)
    backup = f", backup {upstream.backup}" if upstream.backup else ""
    mirror = f", copies to {upstream.mirror}" if upstream.mirror else ""
    return f"upstream {route.upstream}{backup}{mirror}"


def admit_steps(route: Route) -> list[Step]:
    """What is looked at before anybody is asked who they are."""
    steps = []
    if (options := route.cors) is not None:
        detail = f"scripts of {', '.join(options.origins)}"
        steps.append(Step(Phase.ADMIT, "cors", detail, lambda: Cors(options, route.methods)))
    if (most := route.max_response_bytes) > 0:
        steps.append(Step(Phase.ADMIT, "response size", f"up to {most} bytes", lambda: ResponseSize(most)))
    if (largest := route.max_body_bytes) > 0:
        limit = LimitOptions(max_body_bytes=largest)
        steps.append(Step(Phase.ADMIT, "limits", f"content up to {largest} bytes", lambda: Limit(limit)))
    return steps


def edit_steps(route: Route) -> list[Step]:
    """What is changed of requests and responses: fields by what the client asked for, then the target.

    A path that was made anew is judged like one that came.
    """
    steps = []
    if edits := route.fields:
        changes = (f"{edit.action} {edit.name}" for edit in edits)
        steps.append(Step(Phase.EDIT, "fields", ", ".join(changes), lambda: FieldEdits(edits)))
    if (rewrite := route.rewrite) is not None:
        keys = [key for key in rewrite.__struct_fields__ if getattr(rewrite, key) and key != "restore"]
        detail = ", ".join(f"{key} {_shown(getattr(rewrite, key))}" for key in keys)
        paths = PathOptions(encoded_slash=route.encoded_slash)
        steps.append(Step(Phase.EDIT, "rewrite", detail or "nothing", lambda: Rewrite(rewrite)))
        steps.append(Step(Phase.EDIT, "path", f"encoded slash: {paths.encoded_slash}", lambda: PathCheck(paths)))
    return steps


def realm_of(route: Route | None) -> str:
    """What tells the answers of a route from those that others have for the same URL, in a cache: "" for nothing, as
    long as a URL leads to one route."""
    if route is None or (not route.when and route.rewrite is None):
        return ""
    return f"{route.upstream} {route.name}"


def _shown(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " ".join(value)
