"""`interpose check`: what a configuration means, or everything that is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from interpose.cli import options
from interpose.cli.say import printable
from interpose.cli.start import DEFAULT_FILE, check_default, configured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from interpose.config.build import RoutePlan
    from interpose.config.model import Config


def check(
    file: options.ConfigFile = DEFAULT_FILE,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of configurations instead, for editors.")
    ] = False,
) -> None:
    """Validate a configuration and print its listeners, its routes, and the order of filters on each."""
    if schema:
        print_schema()
        return
    from interpose.config.load import load

    check_default(file)
    config = configured(lambda: load(file), from_flags=False)
    plans = configured(lambda: planned(config), from_flags=False)
    from interpose.cli.table import console

    out = console()
    out.print(f"{printable(str(file))} is valid.\n")
    out.print(listener_table(config))
    for plan in plans:
        out.print()
        out.print(route_table(plan))
    print_left_out(config)


def print_schema() -> None:
    """Print the JSON Schema of a configuration to standard output."""
    import msgspec

    from interpose.config.model import Config

    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Config)}
    print(msgspec.json.format(msgspec.json.encode(schema)).decode())


def planned(config: Config) -> Sequence[RoutePlan]:
    """The order of filters for each route. ConfigError tells of every script that cannot be loaded."""
    from interpose.config.build import plan
    from interpose.config.contents import unusable_scripts
    from interpose.config.firewall import checked
    from interpose.config.problem import ConfigError

    if problems := list(unusable_scripts(config)):
        raise ConfigError(problems)
    checked(config)
    return plan(config)


def print_left_out(config: Config) -> None:
    """What of the firewall's rule set has no effect here."""
    from interpose.config.firewall import left_out

    if lines := left_out(config):
        print("\nWhat of the rule set has no effect here:")
        for line in lines:
            print(f"  {line}")


def listener_table(config: Config) -> Table:
    """Where connections are accepted, by whom, and who may come."""
    from interpose.cli.table import table
    from interpose.config.certificates import tls_in_words

    rows = []
    for listener in config.listeners:
        guards = [
            *listener.allow_from,
            *(["users in " + listener.auth] if listener.auth else []),
            *listener.authentication,
        ]
        tls = tls_in_words(listener)
        open_to = ", ".join(guards) or "everybody who can connect"
        rows.append((listener.name, listener.address, listener.role, tls, open_to))
    return table(("Listener", "Address", "Role", "TLS", "Open to"), rows)


def route_table(plan: RoutePlan) -> Table:
    """The filters of one route in their order, outermost first, and what answers in the end."""
    from interpose.cli.table import table

    rows = [*plan.steps, ("end", plan.end, "")]
    return table(("Phase", "Filter", "Options"), rows, title=f"{plan.listener}: {plan.route}")
