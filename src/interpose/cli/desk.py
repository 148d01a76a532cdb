"""`interpose desk`: what waits at a running instance until somebody has looked, and what to do about it.

Files of a spool are listed and decided here too; their ids are longer than those of holds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from interpose.cli import instance, options
from interpose.cli.say import Refused

TIMEOUT_S = 30.0
LONGEST_HOLD_ID = 10
WEEK_S = 604800.0

app = typer.Typer(no_args_is_help=True, help="Look at what waits, change it, decide about it.")

Id = Annotated[str, typer.Argument(metavar="ID", help="A hold or a file, as list shows it.")]
HoldId = Annotated[str, typer.Argument(metavar="ID", help="A hold, as list shows it.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the audit and for who waits.")]
Version = Annotated[
    int | None,
    typer.Option("--version", metavar="N", help="Only if it still is this version.", show_default="as it is now"),
]


@app.command("list")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="Also what was decided.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="At most so many.", min=1, max=1000)] = 100,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Show what waits: messages that are held, and files of the spool."""
    control = instance.control_of(name, state)
    listed = _maybe(control, f"/v1/desk?{urlencode({'state': 'all' if all_ else 'waiting', 'limit': limit})}")
    items = _maybe(control, "/v1/spool")
    if listed is None and items is None:
        raise Refused(f"{control.parent.name}: nothing can wait at this instance: it has no desk and no spool.")
    holds = [] if listed is None else listed["holds"]
    files = [] if items is None else [item for item in items["items"] if all_ or item["state"] in ("held", "failed")]
    if as_json:
        instance.print_json({"holds": holds, "items": files})
        return
    from interpose.cli.hold_view import file_table, hold_table
    from interpose.cli.table import console

    if holds:
        console().print(hold_table(holds))
    if files:
        console().print(file_table(files))
    if not holds and not files:
        print("Nothing waits.")


@app.command("show")
def show(id: Id, name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Show all of what is held: the message as it is now, and what was done to it."""
    control = instance.control_of(name, state)
    found = asked(control, "GET", _path(id))
    if as_json:
        instance.print_json(found)
        return
    from interpose.cli.hold_view import file_story, hold_story

    for line in file_story(found) if _is_file(id) else hold_story(found):
        print(line)


@app.command("edit")
def edit(
    id: Id,
    content: Annotated[
        Path | None, typer.Option("--content", metavar="FILE", help="Take this as the content, and ask no editor.")
    ] = None,
    name: options.WhichName = "",
    state: options.State = "",
) -> None:
    """Change what is held, in $VISUAL or $EDITOR: the message as text, JSON laid out. What is saved will be sent."""
    control = instance.control_of(name, state)
    from interpose.cli import desk_edit

    if _is_file(id):
        print(desk_edit.edit_file(control, quote(id, safe=""), content))
    else:
        print(desk_edit.edit_hold(control, asked(control, "GET", _path(id)), content))


@app.command("release")
def release(
    id: Id,
    why: Why = "",
    version: Version = None,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Let it go on, as it is now."""
    _decide(id, "release", why, version, name, state, as_json)


@app.command("drop")
def drop(
    id: Id,
    why: Why = "",
    version: Version = None,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Let it go nowhere. An HTTP client is told so with a 403."""
    _decide(id, "drop", why, version, name, state, as_json)


@app.command("send")
def send(
    id: HoldId,
    why: Why = "",
    version: Version = None,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Have the desk send a request whose client has gone, until it was answered."""
    _decide(id, "send", why, version, name, state, as_json)


@app.command("answer")
def answer(
    id: HoldId,
    status: Annotated[int, typer.Option("--status", metavar="N", help="The status.", min=200, max=599)] = 200,
    field: Annotated[
        list[str], typer.Option("--header", metavar="'NAME: VALUE'", help="A field of the answer. Repeatable.")
    ] = [],  # noqa: B006
    content: Annotated[
        Path | None, typer.Option("--content", metavar="FILE", help="Its content; - for standard input.")
    ] = None,
    why: Why = "",
    version: Version = None,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Answer a held request by hand; it does not go on."""
    import base64

    from interpose.cli.desk_edit import octets_in

    pairs = []
    for line in field:
        key, colon, value = line.partition(":")
        if not colon:
            raise Refused(f"--header {line!r} has no colon: write 'Name: value'.")
        pairs.append((key.strip(" "), value.strip(" ")))
    given: dict[str, Any] = {"status": status, "fields": pairs}
    if content is not None:
        given["base64"] = base64.b64encode(octets_in(content)).decode()
    _decide(id, "answer", why, version, name, state, as_json, given)


@app.command("rules")
def rules(
    remove: Annotated[int | None, typer.Option("--remove", metavar="N", help="Let this one hold no more.")] = None,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Show what may pass without anybody looking, for a while."""
    control = instance.control_of(name, state)
    if remove is not None:
        asked(control, "DELETE", f"/v1/desk/rules/{remove}")
        print(f"Rule {remove} holds no more.")
        return
    found = asked(control, "GET", "/v1/desk/rules")
    if as_json:
        instance.print_json(found)
        return
    from interpose.cli.hold_view import rule_table
    from interpose.cli.table import console

    console().print(rule_table(found["rules"]))


@app.command("allow")
def allow(
    id: HoldId,
    query: Annotated[
        str | None,
        typer.Option("--query", metavar="QUERY", help="What may pass.", show_default="what goes where this goes"),
    ] = None,
    for_s: Annotated[float, typer.Option("--for", metavar="S", help="For so many seconds.", min=1.0)] = WEEK_S,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Let what is like a held message pass from now on, for a week or as long as is said."""
    control = instance.control_of(name, state)
    rule = asked(control, "POST", f"{_path(id)}/rule", {"query": query, "for_s": for_s})
    if as_json:
        instance.print_json(rule)
    else:
        from interpose.cli.hold_view import moment, shown

        print(f"Rule {rule['id']}: {shown(rule['query'])} may pass until {moment(rule['until'])}.")


@app.command("audit")
def audit(
    after: Annotated[int, typer.Option("--after", metavar="N", help="Only entries behind this one.", min=0)] = 0,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="At most so many.", min=1, max=1000)] = 100,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Show who did what, and whether nothing of it was changed since."""
    found = instance.ask(name, state, "GET", f"/v1/desk/audit?{urlencode({'after': after, 'limit': limit})}", TIMEOUT_S)
    if as_json:
        instance.print_json(found)
    else:
        from interpose.cli.hold_view import audit_table
        from interpose.cli.table import console

        console().print(audit_table(found["entries"]))
    if not found["sound"]:
        raise Refused("the audit is not what was written: an entry was changed, taken out or put in.", status=1)


# --- questions -------------------------------------------------------------------------------------------------------


def asked(control: Path, method: str, path: str, content: Any = None) -> dict[str, Any]:
    """What the instance answers, or a `Refused` that says why it does not do it."""
    data = b"" if content is None else json.dumps(content).encode()
    answer = instance.answer_of(control, method, path, TIMEOUT_S, data)
    if answer.status >= 300:
        raise instance.refused(control, answer.status, answer.content)
    said: dict[str, Any] = answer.content
    return said


def _maybe(control: Path, path: str) -> dict[str, Any] | None:
    """The same, None where the instance has no such thing."""
    answer = instance.answer_of(control, "GET", path, TIMEOUT_S)
    if answer.status == 404:
        return None
    if answer.status >= 300:
        raise instance.refused(control, answer.status, answer.content)
    said: dict[str, Any] = answer.content
    return said


def _decide(
    id: str,
    what: str,
    why: str,
    version: int | None,
    name: str,
    state: str,
    as_json: bool,
    answer: dict[str, Any] | None = None,
) -> None:
    control = instance.control_of(name, state)
    if _is_file(id):
        said = asked(control, "POST", f"{_path(id)}/{what}", {} if what == "release" else None)
    else:
        hold = asked(control, "GET", _path(id))
        if version is not None and version != hold["version"]:
            raise Refused(f"hold {id} has version {hold['version']} now; look at it again.", status=1)
        seen = {"version": hold["version"], "digest": hold["digest"], "why": why}
        said = asked(control, "POST", f"{_path(id)}/{what}", seen if answer is None else {**seen, "answer": answer})
    if as_json:
        instance.print_json(said)
        return
    done = {"release": "released", "drop": "dropped", "send": "to be sent", "answer": "answered"}[what]
    print(f"{id} is {done}.")


def _path(id: str) -> str:
    return f"/v1/{'spool' if _is_file(id) else 'desk'}/{quote(id, safe='')}"


def _is_file(id: str) -> bool:
    return len(id) > LONGEST_HOLD_ID
