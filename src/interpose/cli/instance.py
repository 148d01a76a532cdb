"""`interpose status`, `reload` and `drain`: speak to a running instance through its control socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interpose.cli import options
from interpose.cli.say import Refused

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


def ask(name: str, state: str, method: str, path: str, timeout_s: float, content: bytes = b"") -> dict[str, Any]:
    """The answer of the instance meant, or a `Refused` that says why there is none."""
    import asyncio

    from interpose.config.load import state_dir

    return asyncio.run(_asked(name, state_dir(state), method, path, timeout_s, content))


async def _asked(
    name: str, directory: Path, method: str, path: str, timeout_s: float, content: bytes
) -> dict[str, Any]:
    from interpose.cli import control_client
    from interpose.cli.control_client import NoAnswer, control_sockets, running_instances

    running = await running_instances(control_sockets(directory))
    if not running:
        raise Refused(f"no instance is running, going by {directory}; see --state.", status=1)
    if name and name not in running:
        raise Refused(f"no instance named {name!r} is running; running: {', '.join(running)}.", status=1)
    if not name and len(running) > 1:
        raise Refused(f"several instances are running; choose one with --name: {', '.join(running)}.")
    chosen = name or running[0]
    try:
        answer = await control_client.ask(directory / chosen / "control.sock", method, path, timeout_s, content)
    except NoAnswer as error:
        raise Refused(f"{chosen}: {error}", status=1) from None
    said = answer.content if isinstance(answer.content, dict) else {}
    if answer.status >= 300:
        errors = said.get("errors") or [said.get("error") or f"it answered with status {answer.status}."]
        raise Refused(*(f"{chosen}: {error}" for error in errors), status=2 if 400 <= answer.status < 500 else 1)
    return said


def print_json(answer: dict[str, Any]) -> None:
    """Print an answer for programs."""
    import json

    print(json.dumps(answer, indent=2))
