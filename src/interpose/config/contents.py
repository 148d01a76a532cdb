"""Whether the files that a configuration names hold what they should: certificates, keys, authorities, users.

Scripts are apart: to look into one is to run it, which is for workers and for `interpose check`, not for the
supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from interpose.config import interception_files
from interpose.config.model import Config, Script, Tls
from interpose.config.problem import ABSENT, Problem
from interpose.config.tls_model import TlsCertificate
from interpose.filters.authentication.options import AuthenticationOptions


def unusable_files(config: Config) -> Iterator[Problem]:
    """A problem for each file that is there and cannot be used. Without such files nothing is loaded to read them."""
    for number, listener in enumerate(config.listeners, 1):
        where = f"listener[{number}]"
        if listener.tls is not None:
            yield from _unusable_of_tls(f"{where}.tls", listener.tls)
        if listener.auth:
            yield from _tried(f"{where}.auth", listener.auth, _users)
    for number, table in enumerate(config.authentication, 1):
        yield from _unusable_of_authentication(f"authentication[{number}]", table)
    for number, upstream in enumerate(config.upstreams, 1):
        if upstream.ca_file:
            yield from _tried(f"upstream[{number}].ca_file", upstream.ca_file, _authorities)
    for number, page in enumerate(config.error_pages, 1):
        if page.file:
            yield from _tried(f"error_page[{number}].file", page.file, _page)

    for where, use in interception_files.tries(config):
        yield from _tried(where, "", use)


def _unusable_of_authentication(where: str, table: AuthenticationOptions) -> Iterator[Problem]:
    uses = (("file", _users), ("groups_file", _groups), ("jwks_file", _keys(table)), ("ca_file", _authorities))
    for key, use in uses:
        if path := getattr(table, key):
            yield from _tried(f"{where}.{key}", path, use)


def unusable_scripts(config: Config) -> Iterator[Problem]:
    """A problem for each script that cannot be loaded."""
    for number, script in enumerate(config.scripts, 1):
        yield from _tried(f"script[{number}].file", script.file, _scripts(config, script))
    for number, route in enumerate(config.routes, 1):
        for place, file in enumerate(route.scripts, 1):
            yield from _tried(f"route[{number}].scripts[{place}]", file, _scripts(config))
    for number, table in enumerate(config.authentication, 1):
        if table.script:
            yield from _tried(f"authentication[{number}].script", table.script, _scripts(config, asks="authenticator"))
    for number, rule in enumerate(config.access, 1):
        if rule.ask is not None and rule.ask.script is not None:
            yield from _tried(f"access[{number}].ask.script", rule.ask.script, _scripts(config, asks="decision"))


def _unusable_of_tls(where: str, tls: Tls) -> Iterator[Problem]:
    """What of a listener's own files cannot be used. Those of `certificates` may become good later."""
    if tls.certificate and tls.key:
        yield from _tried(f"{where}.certificate", tls.certificate, _pair(tls.key))
    tables: tuple[Tls | TlsCertificate, ...] = (tls, *tls.certificates)
    for number, one in enumerate(tables):
        place = f"{where}.certificates[{number}]" if number else where
        if one.client_ca:
            yield from _tried(f"{place}.client_ca", one.client_ca, _clients(ca=True))
        if one.client_crl:
            yield from _tried(f"{place}.client_crl", one.client_crl, _clients(ca=False))


def _clients(*, ca: bool) -> Callable[[str], object]:
    from interpose.net.tls import check_client_files

    return lambda path: check_client_files(*((path, None) if ca else (None, path)))


def _tried(where: str, path: str, use: Callable[[str], object]) -> Iterator[Problem]:
    try:
        use(path)
    except ValueError as error:
        for sentence in str(error).split("\n"):
            yield Problem(where, ABSENT, sentence.removesuffix("."))  # the sentence names the file


def _pair(key: str) -> Callable[[str], object]:
    from interpose.net.tls import server_context

    return lambda certificate: server_context(certificate, key)


def _page(path: str) -> object:
    from interpose.filters.error_pages import content_of

    return content_of(path)


def _authorities(path: str) -> object:
    from interpose.net.tls import client_context

    return client_context(path)


def _scripts(config: Config, table: Script | None = None, asks: str = "") -> Callable[[str], object]:
    """What loads a script, with the options that it will have, and demands a function for what is asked of it."""
    from interpose.config.edits import function_filter
    from interpose.filters.script.script import Script as Loaded

    def use(path: str) -> object:
        script = Loaded(table or config.script_of(path), edits=function_filter)
        if asks and asks not in script.answers:
            raise ValueError(f"{path}: no function is marked with @interpose.{asks}")
        return script

    return use


def _users(path: str) -> object:
    from interpose.storage.password_file import PasswordFile

    return PasswordFile(Path(path))


def _groups(path: str) -> object:
    from interpose.storage.password_file import groups_in

    return groups_in(Path(path))


def _keys(table: AuthenticationOptions) -> Callable[[str], object]:
    def read(path: str) -> object:
        from interpose.filters.authentication.key_source import FileKeys

        return FileKeys(table)

    return read
