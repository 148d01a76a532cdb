"""Lists of hosts and of domains: read once, then looked up label by label."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*")
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9a-f:]*:[0-9a-f:.]*(?:%[a-z0-9]+)?")
_OWN: Final = frozenset(
    ("localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "ip6-localnet",
     "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0")
)  # fmt: skip
"""What every hosts file says of the machine itself."""


class Names:
    """What lists of names block. The first list that has a name is the one that blocks it."""

    __slots__ = ("_domains", "_hosts")

    def __init__(self) -> None:
        self._hosts: dict[str, int] = {}
        self._domains: dict[str, int] = {}

    def add(self, names: Iterable[str], number: int, *, with_all_below: bool) -> None:
        """Block these names because of the list `number`."""
        table = self._domains if with_all_below else self._hosts
        for name in names:
            table.setdefault(name, number)

    def find(self, host: str, spared: frozenset[int] = frozenset()) -> tuple[int, str] | None:
        """The list that blocks `host` and the name in it; `spared` are lists that may not."""
        number = self._hosts.get(host)
        if number is not None and number not in spared:
            return number, host
        domains = self._domains
        if domains:
            name = host
            while name:
                number = domains.get(name)
                if number is not None and number not in spared:
                    return number, name
                name = name.partition(".")[2]
        return None

    def __len__(self) -> int:
        return len(self._hosts) + len(self._domains)


def read_names(text: str, *, is_hosts: bool) -> Iterator[str | None]:
    """The names in a list, and None for each line that cannot be understood. Comments begin with `#` or `!`."""
    for line in text.lower().split("\n"):
        words = line.partition("#")[0].replace("\t", " ").strip(" \r\ufeff").split(" ")
        if not words[0] or words[0][0] in "![":
            continue
        if is_hosts:
            if _ADDRESS.fullmatch(words[0]) is None or len(words) == 1:
                yield None
                continue
            words = words[1:]
        elif len(words) > 1:
            yield None
            continue
        for word in words:
            if word and word not in _OWN:
                yield name_of(word)


def name_of(word: str) -> str | None:
    """A host name as requests have it; None for what is none. `*.` and a dot before it say nothing more here."""
    name = word.removeprefix("*").removeprefix(".").removesuffix(".")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    return name if _NAME.fullmatch(name) is not None else None
