"""`interpose status`, `reload` and `drain`: speak to a running instance through its control socket."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpose.cli import options
from interpose.cli.say import Refused

if TYPE_CHECKING:
    from interpose.cli.control_client import Answer

ANSWER_TIMEOUT_S = 5.0
RELOAD_TIMEOUT_S = 60.0


def status(name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Show what an instance listens on, its workers, and what they do."""
    answer = ask(name, state, "GET", "/v1/status", ANSWER_TIMEOUT_S)
    if as_json:
        print_json(answer)
        return
    from interpose.cli.status_view import status_view
    from interpose.cli.table import console

    console().print(status_view(answer))


def reload(name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Let an instance read its configuration again. A wrong one is refused, and the old one goes on."""
    answer = ask(name, state, "POST", "/v1/reload", RELOAD_TIMEOUT_S)
    if as_json:
        print_json(answer)
    else:
        print(f"Reloaded: generation {answer.get('generation', '?')} runs.")


def drain(name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Let an instance accept no more, finish what it has begun, and end."""
    answer = ask(name, state, "POST", "/v1/drain", ANSWER_TIMEOUT_S)
    if as_json:
        print_json(answer)
    else:
        print("Draining: it accepts no more, finishes what it has begun, and ends.")


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
    control = control_of(name, state)
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
