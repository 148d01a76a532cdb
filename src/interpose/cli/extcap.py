"""`interpose extcap`: running instances as interfaces in Wireshark's own list.

Wireshark runs each program in its folder for "extcap" with options of its protocol: to learn which interfaces there
are, which kind of packets they have, what can be configured, and to capture into a named pipe. All of it is answered
with lines on standard output.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from interpose.cli import options
from interpose.cli.say import Refused

PREFIX = "interpose-"
_RAW = 101
"""LINKTYPE_RAW: IP datagrams without anything before them."""


def extcap(
    list_: Annotated[bool, typer.Option("--extcap-interfaces", help="Name the interfaces.")] = False,
    interface: Annotated[str, typer.Option("--extcap-interface", metavar="NAME", help="Which one is meant.")] = "",
    link_types: Annotated[bool, typer.Option("--extcap-dlts", help="Name the kinds of packets.")] = False,
    config: Annotated[bool, typer.Option("--extcap-config", help="Name what can be configured.")] = False,
    capture: Annotated[bool, typer.Option("--capture", help="Capture, until the pipe is closed.")] = False,
    fifo: Annotated[Path | None, typer.Option("--fifo", metavar="PIPE", help="Where to.")] = None,
    query: Annotated[str, typer.Option("--query", metavar="QUERY", help="Only what this query means.")] = "",
    past: Annotated[bool, typer.Option("--past/--no-past", help="What is in the journal already, too.")] = False,
    state: options.State = "",
    filter_: Annotated[
        str, typer.Option("--extcap-capture-filter", metavar="FILTER", help="Wireshark's own: write a query instead.")
    ] = "",
    version: Annotated[str, typer.Option("--extcap-version", metavar="VERSION", help="That of Wireshark.")] = "",
) -> None:
    """(Wireshark runs it) Be an interface of its list: every instance that runs, with all that passes, live."""
    if list_:
        _interfaces(state)
    elif link_types:
        print(f"dlt {{number={_RAW}}}{{name=RAW}}{{display=IP}}")
    elif config:
        print("arg {number=0}{call=--query}{display=Query}{type=string}{tooltip=such as host:*.example status:5xx}")
        print("arg {number=1}{call=--past}{display=From the journal too}{type=boolflag}{default=false}")
    elif capture:
        if fifo is None or not interface.startswith(PREFIX):
            raise Refused("--capture takes --extcap-interface and --fifo, as Wireshark gives them.")
        if filter_:
            raise Refused("there are no capture filters here; write a query into the interface's options.")
        _capture(interface.removeprefix(PREFIX), state, fifo, query, past)
    else:
        raise Refused("this is for Wireshark to run; examples/wireshark shows how it is told of it.")


def _interfaces(state: str) -> None:
    import asyncio

    from interpose.cli.control_client import control_sockets, running_instances
    from interpose.config.load import state_dir
    from interpose.core.version import __version__

    print(f"extcap {{version={__version__}}}{{display=Interpose}}")
    for name in asyncio.run(running_instances(control_sockets(state_dir(state)))):
        print(f"interface {{value={PREFIX}{name}}}{{display=Interpose: {name}}}")


def _capture(name: str, state: str, fifo: Path, query: str, past: bool) -> None:
    import asyncio

    from interpose.cli.flow_capture import captured
    from interpose.cli.instance import control_of

    control = control_of(name, state)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Wireshark's way to say that it is enough
    try:
        with fifo.open("wb") as pipe:
            asyncio.run(captured(control, query, pipe, from_now=not past))
    except KeyboardInterrupt:
        return
    except OSError as error:
        raise Refused(f"'{fifo}' cannot be written: {(error.strerror or str(error)).lower()}.", status=1) from error
