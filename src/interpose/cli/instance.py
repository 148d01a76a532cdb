"""`interpose status`, `reload` and `drain`: speak to a running instance through its control socket."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interpose.cli import options
from interpose.cli.say import Refused

if TYPE_CHECKING:
    from interpose.cli.control_client import Answer

ANSWER_TIMEOUT_S = 5.0
RELOAD_TIMEOUT_S = 60.0


def status(name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Show what an instance listens on, its workers, and what they do."""
    control = control_of(name, state)
    answer = _said(control, "/v1/status")
    servers = _listed(control, "/v1/upstreams", "servers")
    certificates = _listed(control, "/v1/certificates", "certificates")
    scripts = _listed(control, "/v1/scripts", "scripts")
    experiments = _listed(control, "/v1/experiments", "experiments")
    rules, lists, limits = (_listed(control, "/v1/access", key) for key in ("rules", "blocklists", "limits"))
    if as_json:
        found = {"upstreams": servers, "certificates": certificates, "rules": rules, "blocklists": lists}
        print_json({**answer, **found, "limits": limits, "experiments": experiments, "scripts": scripts})
        return
    from interpose.cli.status_view import blocklists_view, certificates_view, rules_view, status_view
    from interpose.cli.table import console

    console().print(status_view(answer), crop=False)  # the console's link is of use only as a whole
    if servers:
        from interpose.cli.upstream_view import upstreams_view

        past = answer_of(control, "GET", "/v1/upstreams/history", ANSWER_TIMEOUT_S)
        has_blocks = console().encoding.startswith("utf")
        console().print()
        console().print(upstreams_view(servers, past.content if past.status == 200 else {}, with_charts=has_blocks))
    if experiments:
        from interpose.cli.experiment_view import list_view

        console().print()
        console().print(list_view(experiments))
    if certificates:
        console().print()
        console().print(certificates_view(certificates))
    if scripts:
        from interpose.cli.status_view import scripts_view

        console().print()
        console().print(scripts_view(scripts))
    if rules:
        console().print()
        console().print(rules_view(rules))
    if lists:
        console().print()
        console().print(blocklists_view(lists))
    if limits:
        from interpose.cli.status_view import limits_view

        console().print()
        console().print(limits_view(limits))


def _listed(control: Path, path: str, key: str) -> list[dict[str, Any]]:
    """What an instance lists there; nothing from one that does not know of it."""
    answer = answer_of(control, "GET", path, ANSWER_TIMEOUT_S)
    return answer.content[key] if answer.status == 200 and isinstance(answer.content, dict) else []


def reload(name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Let an instance read its configuration again. A wrong one is refused, and the old one goes on."""
    answer = ask(name, state, "POST", "/v1/reload", RELOAD_TIMEOUT_S)
    if as_json:
        print_json(answer)
    else:
        print(f"Reloaded: generation {answer.get('generation', '?')} runs.")


def drain(
    server: Annotated[
        str,
        typer.Argument(metavar="UPSTREAM-SERVER", help="A server of an upstream, such as 10.0.0.7:8000."),
    ] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Let the server get requests again.")] = False,
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Let an instance accept no more, finish what it has begun, and end; or let one server of its upstreams get no new
    requests."""
    if server:
        _drain_server(server, undo, name, state, as_json)
        return
    if undo:
        raise Refused("--undo is for a server; an instance that ends cannot be kept from it.")
    answer = ask(name, state, "POST", "/v1/drain", ANSWER_TIMEOUT_S)
    if as_json:
        print_json(answer)
    else:
        print("Draining: it accepts no more, finishes what it has begun, and ends.")


def _drain_server(server: str, undo: bool, name: str, state: str, as_json: bool) -> None:
    import json

    content = json.dumps({"server": server, "undo": undo}).encode()
    answer = ask(name, state, "POST", "/v1/upstreams/drain", RELOAD_TIMEOUT_S, content)
    if as_json:
        print_json(answer)
    elif undo:
        print(f"{server} gets requests again.")
    else:
        print(f"{server} gets no new requests; those under way go on.")


def ask(
    name: str,
    state: str,
    method: str,
    path: str,
    timeout_s: float,
    content: bytes = b"",
    fields: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The answer of the instance meant, or a `Refused` that says why there is none."""
    return _said(control_of(name, state), path, method, timeout_s, content, fields)


def _said(
    control: Path,
    path: str,
    method: str = "GET",
    timeout_s: float = ANSWER_TIMEOUT_S,
    content: bytes = b"",
    fields: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    answer = answer_of(control, method, path, timeout_s, content, fields)
    said = answer.content if isinstance(answer.content, dict) else {}
    if answer.status >= 300:
        raise refused(control, answer.status, said)
    return said


def answer_of(
    control: Path,
    method: str,
    path: str,
    timeout_s: float,
    content: bytes = b"",
    fields: Mapping[str, str] | None = None,
) -> Answer:
    """The answer of one instance, whatever it says, or a `Refused` when there is none."""
    import asyncio

    from interpose.cli import control_client

    try:
        return asyncio.run(control_client.ask(control, method, path, timeout_s, content, fields))
    except control_client.NoAnswer as error:
        raise Refused(f"{control.parent.name}: {error}", status=1) from None


def refused(control: Path, status: int, said: Mapping[str, Any]) -> Refused:
    """What an instance says that does not do what it was asked."""
    errors = said.get("errors") or [said.get("error") or f"it answered with status {status}."]
    return Refused(*(f"{control.parent.name}: {error}" for error in errors), status=2 if 400 <= status < 500 else 1)


def control_of(name: str, state: str) -> Path:
    """The control socket of the instance meant, or a `Refused` that says why there is none."""
    import asyncio

    from interpose.cli.control_client import control_sockets, running_instances
    from interpose.config.load import state_dir

    directory = state_dir(state)
    running = asyncio.run(running_instances(control_sockets(directory)))
    if not running:
        raise Refused(f"no instance is running, going by {directory}; see --state.", status=1)
    if name and name not in running:
        raise Refused(f"no instance named {name!r} is running; running: {', '.join(running)}.", status=1)
    if not name and len(running) > 1:
        raise Refused(f"several instances are running; choose one with --name: {', '.join(running)}.")
    return directory / (name or running[0]) / "control.sock"


def print_json(answer: Any) -> None:
    """Print an answer for programs."""
    import json

    print(json.dumps(answer, indent=2))
