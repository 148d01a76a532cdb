"""`interpose ca`: the certificate authority of this installation, with which it looks into TLS."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from interpose.cli import instance, options
from interpose.cli.say import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from interpose.net.authority import CertificateAuthority

TIMEOUT_S = 30.0

app = typer.Typer(no_args_is_help=True, help="The certificate authority with which proxies look into TLS.")


Dir = Annotated[
    str, typer.Option("--dir", metavar="DIR", help="Where the authority is.", show_default="ca in the state directory")
]


@app.command("init")
def init(
    permit: Annotated[
        list[str],
        typer.Option(
            "--permit", metavar="HOST", help="Sign for this host and all below it, or this network, only. Repeatable."
        ),
    ] = [],  # noqa: B006 - never changed
    days: Annotated[int, typer.Option("--days", metavar="N", help="How long it is valid.", min=1, max=3650)] = 3650,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make another one where there is one: clients have to trust it anew.")
    ] = False,
    directory: Dir = "",
    state: options.State = "",
) -> None:
    """Make an authority: a key that stays on this machine, and a certificate for clients to trust."""
    from interpose.net.authority import CertificateAuthority

    where = directory_of(directory, state)
    try:
        authority = CertificateAuthority.create(where, permit=permit, days=days, replace=replace)
    except ValueError as error:
        raise Refused(str(error), status=1) from None
    print(f"Made {authority.name} in {where}.")
    print("Have clients trust it: `interpose ca export`, or open the page of a proxy that looks into TLS.")
    print("Whoever gets hold of the key in there can be any site to them; it never leaves this directory by itself.")


@app.command("show")
def show(directory: Dir = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Show the authority: its name, until when it is valid, what it may sign, its fingerprint."""
    from datetime import UTC, datetime

    where = directory_of(directory, state)
    authority = load(where)
    now = datetime.now(UTC)
    if as_json:
        instance.print_json(
            {
                "name": authority.name,
                "dir": str(where),
                "begins": authority.begins.isoformat(),
                "expires": authority.expires.isoformat(),
                "permitted": list(authority.permitted),
                "sha256": authority.fingerprint,
                "warning": authority.warning(now),
            }
        )
        return
    print(f"Name         {authority.name}")
    print(f"Directory    {where}")
    print(f"Valid until  {authority.expires:%Y-%m-%d} ({(authority.expires - now).days} days)")
    print(f"Signs for    {', '.join(authority.permitted) or 'every host'}")
    print(f"SHA-256      {authority.fingerprint}")
    if (warning := authority.warning(now)) is not None:
        print(warning)


@app.command("export")
def export(
    der: Annotated[bool, typer.Option("--der/--pem", help="DER for phones and Windows, PEM for programs.")] = False,
    directory: Dir = "",
    state: options.State = "",
) -> None:
    """Write the certificate, which is no secret, to standard output."""
    authority = load(directory_of(directory, state))
    sys.stdout.buffer.write(authority.der if der else authority.pem)
    sys.stdout.buffer.flush()


@app.command("learned")
def learned(name: options.WhichName = "", state: options.State = "", as_json: options.AsJson = False) -> None:
    """Show which clients of a running proxy do not believe its certificates, and are let through unread."""
    answer = instance.ask(name, state, "GET", "/v1/interception/learned", TIMEOUT_S)
    if as_json:
        instance.print_json(answer)
        return
    from interpose.cli.status_view import duration
    from interpose.cli.table import console, table
    from interpose.core.printable import printable

    rows = [
        (printable(row["client"].encode()), printable(row["host"].encode()), duration(row["left_s"]))
        for row in answer["learned"]
    ]
    console().print(table(("Client", "Host", "For"), rows))


@app.command("forget")
def forget(
    host: Annotated[str, typer.Argument(metavar="HOST", help="Without it, every host.")] = "",
    name: options.WhichName = "",
    state: options.State = "",
    as_json: options.AsJson = False,
) -> None:
    """Have a running proxy look again into the tunnels of clients that it lets through unread."""
    import json

    content = json.dumps({"host": host.lower()}).encode()
    answer = instance.ask(name, state, "DELETE", "/v1/interception/learned", TIMEOUT_S, content)
    if as_json:
        instance.print_json(answer)
        return
    count = answer["forgotten"]
    print(f"{count} forgotten: tunnels {f'to {host} ' if host else ''}are looked into again.")


def directory_of(directory: str, state: str) -> Path:
    """Where the authority is meant to be."""
    from pathlib import Path

    from interpose.config.state import authority_dir

    return Path(directory).expanduser() if directory else authority_dir(state)


def load(directory: Path) -> CertificateAuthority:
    """The authority in `directory`, or a `Refused` that says why there is none."""
    from interpose.net.authority import CertificateAuthority

    try:
        return CertificateAuthority.load(directory)
    except ValueError as error:
        raise Refused(str(error), status=1) from None
