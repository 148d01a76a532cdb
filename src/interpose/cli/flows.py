"""`interpose flows`: what has passed through a running instance, searched, looked at, sent again, taken elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from interpose.cli import instance, options
from interpose.cli.say import Refused

TIMEOUT_S = 30.0
REPLAY_S = 360.0
"""How long an answer to a replay may take; a little more than a worker waits for one."""

Pcapng = Annotated[
    Path | None,
    typer.Option("--pcapng", metavar="FILE", help="Write a capture for Wireshark, - for a pipe, instead."),
]

app = typer.Typer(no_args_is_help=True, help="Look at what has passed through a running instance.")

Query = Annotated[
    list[str],
    typer.Argument(metavar="QUERY", help="Such as 'host:shop.example status:>=500'; behind -- when it begins so."),
]
Id = Annotated[int, typer.Argument(metavar="ID", help="The number of a flow, as list shows it.", min=1)]


@app.command("list")
def list_(
    query: Query = [],  # noqa: B006 - never changed
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="At most so many.", min=1, max=1000)] = 50,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Show the newest flows that match, the newest last."""
    asked = urlencode({"q": " ".join(query), "limit": limit})
    answer = instance.ask(name, state, "GET", f"/v1/flows?{asked}", TIMEOUT_S)
    if as_json:
        instance.print_json(answer)
        return
    from interpose.cli.flow_view import flow_table
    from interpose.cli.table import console

    console().print(flow_table(reversed(answer["flows"])))
    if answer["more"]:
        print("There are more, before these; --limit shows more of them.", file=sys.stderr)


@app.command("show")
def show(flow: Id, name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Show one flow: how it went, what was asked and answered."""
    control = instance.control_of(name, state)
    found = _asked(control, "GET", f"/v1/flows/{flow}")
    if as_json:
        instance.print_json(found)
        return
    previews = {side: _asked(control, "GET", f"/v1/flows/{flow}/preview/{side}") for side in ("request", "response")}
    messages = _asked(control, "GET", f"/v1/flows/{flow}/messages?limit=100") if found["messages_total"] else None
    from interpose.cli.flow_view import flow_story

    for line in flow_story(found, previews, messages):
        print(line)


@app.command("follow")
def follow(
    query: Query = [],  # noqa: B006
    name: options.WhichName = "",
    state: options.State = "",
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each flow.")] = False,
    pcapng: Pcapng = None,
) -> None:
    """Show flows as they pass, until Ctrl-C: as a table on a terminal, else a line for each."""
    import asyncio

    from interpose.cli.flow_follow import follow as followed

    control = instance.control_of(name, state)
    if pcapng is not None:
        _captured(control, " ".join(query), pcapng, from_now=True)
    else:
        asyncio.run(followed(control, " ".join(query), as_json=as_json))


@app.command("replay")
def replay(flow: Id, name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Send the request of a flow again, and say how it was answered."""
    answer = instance.ask(name, state, "POST", f"/v1/flows/{flow}/replay", REPLAY_S, b"{}")
    if as_json:
        instance.print_json(answer)
    else:
        missing = (
            f" Left out, as they are not in the journal: {', '.join(answer['missing'])}." if answer["missing"] else ""
        )
        how = f"Answered with {answer['status']}." if answer["status"] else f"Not answered: {answer['detail']}"
        print(f"{how}{missing}")
    if answer["failure"]:
        raise typer.Exit(1)


@app.command("mark")
def mark(
    flow: Id,
    mark: Annotated[
        str, typer.Argument(metavar="MARK", help="star, red, orange, yellow, green, blue, or none.")
    ] = "star",
    comment: Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="Write this to it as well.")] = None,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Mark a flow, so that it is found again: `flows list mark:star`."""
    control = instance.control_of(name, state)
    answer = _asked(control, "POST", f"/v1/flows/{flow}/mark", {"mark": "" if mark == "none" else mark})
    if comment is not None:
        answer = _asked(control, "PUT", f"/v1/flows/{flow}/comment", {"comment": comment})
    if as_json:
        instance.print_json(answer)
    else:
        print(f"Flow {flow} is marked with {mark}." if mark != "none" else f"Flow {flow} is not marked any more.")


@app.command("curl")
def curl(flow: Id, name: options.WhichName = "", state: options.State = "") -> None:
    """Print the request of a flow as a command for curl."""
    control = instance.control_of(name, state)
    sys.stdout.buffer.write(_octets(control, f"/v1/flows/{flow}/curl"))


@app.command("content")
def content(
    flow: Id,
    of_request: Annotated[bool, typer.Option("--request", help="That of the request, not of the response.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="As it was sent, its coding not undone.")] = False,
    name: options.WhichName = "",
    state: options.State = "",
) -> None:
    """Print the content of a flow's response as it is: octets, for a file or a pipe."""
    control = instance.control_of(name, state)
    side = "request" if of_request else "response"
    sys.stdout.buffer.write(_octets(control, f"/v1/flows/{flow}/{side}/content{'' if raw else '?decoded=1'}"))


@app.command("export")
def export(
    query: Query = [],  # noqa: B006
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to, not a pipe.")] = None,
    har: Annotated[
        Path | None, typer.Option("--har", metavar="FILE", help="Write a HAR file, - for a pipe, instead.")
    ] = None,
    pcapng: Pcapng = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what passes, until Ctrl-C; with --pcapng.")
    ] = False,
    secrets: Annotated[
        Path | None,
        typer.Option(
            "--secrets", metavar="KEYLOG", help="Add those of the TLS in relayed conversations; with --pcapng."
        ),
    ] = None,
    name: options.WhichName = "",
    state: options.State = "",
) -> None:
    """Write flows as lines of JSON, with all that is kept of them: for a file, another journal, or jq. Or as a capture
    for Wireshark, or a HAR file for browsers."""
    wanted = {kind: file for kind, file in (("journal", output), ("har", har), ("pcapng", pcapng)) if file is not None}
    if len(wanted) > 1:
        raise Refused("one export is one file: give one of --output, --har and --pcapng.")
    if follow and pcapng is None:
        raise Refused("--follow is for captures: add --pcapng FILE, or - for a pipe.")
    if secrets is not None and (pcapng is None or follow):
        raise Refused("--secrets is for captures that end: give it with --pcapng FILE, and without --follow.")
    control = instance.control_of(name, state)
    if secrets is not None and pcapng is not None:
        _exported_with_secrets(control, " ".join(query), pcapng, secrets)
        return
    if follow and pcapng is not None:
        _captured(control, " ".join(query), pcapng, from_now=False)
        return
    kind, file = next(iter(wanted.items()), ("journal", Path("-")))
    _exported(control, urlencode({"q": " ".join(query), "format": kind}), file, is_text=kind == "journal")


def _exported(control: Path, asked: str, file: Path, *, is_text: bool) -> None:
    import asyncio

    path = f"/v1/flows/export?{asked}"
    if str(file) == "-":
        if sys.stdout.isatty():
            raise Refused("this prints whole contents; name a file, or pipe it somewhere.")
        asyncio.run(_copied(control, path, sys.stdout.buffer, is_text=is_text))
        return
    with _writable(file) as opened:
        count = asyncio.run(_copied(control, path, opened, is_text=is_text))
        size = opened.tell()
    print(f"{file}: {max(0, count - 1)} flows." if is_text else f"{file}: {size} octets.", file=sys.stderr)


def _exported_with_secrets(control: Path, query: str, file: Path, key_log: Path) -> None:
    import asyncio
    import tempfile

    from interpose.cli.flow_secrets import combined, secrets_of

    known = secrets_of(key_log)
    with tempfile.TemporaryFile() as capture:
        path = f"/v1/flows/export?{urlencode({'q': query, 'format': 'pcapng'})}"
        asyncio.run(_copied(control, path, capture, is_text=False))
        combined(capture, known, file)


@app.command("secrets")
def secrets(
    capture: Annotated[
        Path, typer.Argument(metavar="CAPTURE", help="What tcpdump or dumpcap wrote of the TLS itself: pcap or pcapng.")
    ],
    key_log: Annotated[Path, typer.Option("--keylog", metavar="FILE", help="Secrets, as proxy --keylog writes them.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to (pcapng), - for a pipe.")],
) -> None:
    """Put secrets of TLS into a capture, so that Wireshark reads what was encrypted: those of its own sessions only."""
    from interpose.cli.flow_secrets import combined, secrets_of

    known = secrets_of(key_log)
    with _readable(capture) as opened:
        combined(opened, known, output, demands_some=True)


def _captured(control: Path, query: str, file: Path, *, from_now: bool) -> None:
    """Write a capture of what passes until Ctrl-C, or until nobody reads it any more."""
    import asyncio
    import contextlib

    from interpose.cli.flow_capture import captured

    with contextlib.ExitStack() as until_the_end:
        if str(file) != "-":
            opened = until_the_end.enter_context(_writable(file))
        elif sys.stdout.isatty():
            raise Refused("a capture is nothing to read; name a file, or pipe it to wireshark -k -i -.")
        else:
            opened = sys.stdout.buffer
        asyncio.run(captured(control, query, opened, from_now=from_now))


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What export wrote, or a HAR file; - for standard input.")
    ],
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Take flows of another journal, or of a HAR file, into that of a running instance. They get new numbers."""
    import asyncio

    control = instance.control_of(name, state)
    answer = asyncio.run(_imported(control, file))
    if as_json:
        instance.print_json(answer)
    else:
        print(f"{answer['imported']} flows taken in.")


# --- questions -------------------------------------------------------------------------------------------------------


def _asked(control: Path, method: str, path: str, content: Any = None) -> dict[str, Any]:
    data = b"" if content is None else json.dumps(content).encode()
    answer = instance.answer_of(control, method, path, TIMEOUT_S, data)
    if answer.status >= 300:
        raise instance.refused(control, answer.status, answer.content)
    said: dict[str, Any] = answer.content
    return said


def _octets(control: Path, path: str) -> bytes:
    import asyncio

    from interpose.cli.control_client import NoAnswer, asked

    async def read() -> bytes:
        async with asked(control, "GET", path) as received:
            data = await received.content()
        if received.status >= 300:
            raise instance.refused(control, received.status, json.loads(data))
        return data

    try:
        return asyncio.run(read())
    except NoAnswer as error:
        raise Refused(f"{control.parent.name}: {error}", status=1) from None


async def _copied(control: Path, path: str, file: Any, *, is_text: bool) -> int:
    """How many lines there were; text has to end with one."""
    from interpose.cli.control_client import NoAnswer, asked

    count = 0
    try:
        async with asked(control, "GET", path) as received:
            if received.status >= 300:
                raise instance.refused(control, received.status, json.loads(await received.content()))
            last = b"\n"
            async for piece in received.pieces():
                file.write(piece)
                count += piece.count(b"\n")
                last = piece[-1:]
            if is_text and last != b"\n":
                raise NoAnswer("it ended before its answer did.")
        file.flush()
    except NoAnswer as error:
        raise Refused(f"{control.parent.name}: {error}", status=1) from None
    return count


async def _imported(control: Path, file: Path) -> dict[str, Any]:
    from interpose.cli.control_client import NoAnswer, asked

    try:
        with _readable(file) as content:
            async with asked(control, "POST", "/v1/flows/import", content) as received:
                said: dict[str, Any] = json.loads(await received.content())
    except NoAnswer as error:
        raise Refused(f"{control.parent.name}: {error}", status=1) from None
    if received.status >= 300:
        raise instance.refused(control, received.status, said)
    return said


def _readable(file: Path) -> Any:
    """The file, or standard input in a file: how much is sent has to be known before it is."""
    if str(file) == "-":
        import shutil
        import tempfile

        kept = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked for it closes it
        shutil.copyfileobj(sys.stdin.buffer, kept)
        return kept
    try:
        return file.open("rb")
    except OSError as error:
        raise Refused(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from None


def _writable(file: Path) -> Any:
    try:
        return file.open("wb")
    except OSError as error:
        raise Refused(f"{file} cannot be written: {(error.strerror or str(error)).lower()}.") from None
