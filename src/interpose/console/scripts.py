"""The scripts that run: what they have, and what went wrong in them."""

from __future__ import annotations

import msgspec
from starlette.requests import Request

from interpose.console.resource import Group, Resource
from interpose.console.services import Scripts


class TroubleView(msgspec.Struct, frozen=True, kw_only=True):
    """An error of a function at a line; `at` is the last time, in seconds since 1970, `exchange` the one it was then
    ("" for none)."""

    function: str
    file: str
    line: int
    error: str
    count: int
    at: float
    exchange: str


class ScriptView(msgspec.Struct, frozen=True, kw_only=True):
    """A file. `broken` says why the file as it is now is not what runs, `off` which functions are not called at the
    moment; the latest of its troubles comes first."""

    file: str
    functions: list[str]
    errors: int
    broken: str
    off: list[str]
    troubles: list[TroubleView]


class ScriptsView(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    scripts: list[ScriptView]


def scripts_group(scripts: Scripts) -> Group:
    """What can be asked about scripts."""

    async def shown(_: Request) -> ScriptsView:
        return ScriptsView(scripts=msgspec.convert(list(await scripts.rows()), list[ScriptView]))

    return Group(
        name="scripts",
        about="The files of users' own functions.",
        resources=[
            Resource(
                method="GET",
                path="/scripts",
                handler=shown,
                answer=ScriptsView,
                about="Every script, in all workers together: its functions, and what went wrong in them and where.",
            )
        ],
    )
