"""All lists of a listener as one: compiled once for all workers, and asked by each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from interpose.core.message import Request
from interpose.filters.blocklist.engine import Filters, compiled, marks_of, rules_of
from interpose.filters.blocklist.names import Names, read_names
from interpose.filters.blocklist.options import BlockList
from interpose.filters.blocklist.party import purpose_of

FORM = 1
"""Of the file that compiled lists are in; a file of another form is compiled anew."""


class ListFacts(msgspec.Struct, frozen=True):
    """What is in one list: rules that hold, cosmetic ones, and lines that cannot be understood."""

    name: str
    rules: int
    cosmetic: int = 0
    ignored: int = 0


class CompiledList(msgspec.Struct, frozen=True):
    """One list: its names, one a line, or the marks of its filters."""

    facts: ListFacts
    names: bytes = b""
    marks: bytes = b""


class CompiledLists(msgspec.Struct, frozen=True):
    """Lists as workers load them. `sources` says what they were made of."""

    form: int
    sources: bytes
    lists: list[CompiledList]
    engine: bytes = b""


def compile_lists(options: Sequence[BlockList], texts: Mapping[str, str], sources: bytes) -> CompiledLists:
    """`texts` are the lists' own, by name; one that is not there has no rules yet."""
    lists: list[CompiledList] = []
    filters: list[list[str]] = []
    for one in options:
        text = texts.get(one.name, "")
        if one.format == "filters":
            rules, counted = rules_of(text)
            filters.append(rules)
            lists.append(CompiledList(ListFacts(one.name, *counted), marks=marks_of(rules)))
            continue
        found = list(read_names(text, is_hosts=one.format == "hosts"))
        names = [name for name in found if name is not None]
        facts = ListFacts(one.name, len(names), 0, len(found) - len(names))
        lists.append(CompiledList(facts, names="\n".join(names).encode("ascii")))
    return CompiledLists(FORM, sources, lists, compiled(filters) if any(filters) else b"")


class Blocked(NamedTuple):
    """Why something is not to be reached: the list, and the rule in it."""

    options: BlockList
    rule: str


class Lists:
    """Compiled lists, ready to be asked. `options` are those they were compiled for. ValueError for broken ones."""

    def __init__(self, options: Sequence[BlockList], compiled: CompiledLists) -> None:
        self.options = tuple(options)
        self.facts = [one.facts for one in compiled.lists]
        self._names = Names()
        marks: dict[int, bytes] = {}
        for number, (one, option) in enumerate(zip(compiled.lists, options, strict=True)):
            if one.names:
                names = one.names.decode("ascii").split("\n")
                self._names.add(names, number, with_all_below=option.format == "domains")
            if one.marks:
                marks[number] = one.marks
        self._filters = Filters(compiled.engine, marks) if compiled.engine else None
        self._spares = [(number, frozenset(one.except_hosts)) for number, one in enumerate(options) if one.except_hosts]

    def find(self, request: Request) -> Blocked | None:
        """Why `request` is not to go on; None when it may."""
        host = request.target.authority.host
        spared = self._spared(host) if self._spares else frozenset[int]()
        found = self._names.find(host, spared)
        if found is None and self._filters is not None:
            found = self._filters.find(purpose_of(request))
            if found is not None and found[0] in spared:
                found = None
        return None if found is None else Blocked(self.options[found[0]], found[1])

    def _spared(self, host: str) -> frozenset[int]:
        """The lists that may not block `host`."""
        return frozenset([number for number, hosts in self._spares if host in hosts or _is_below(host, hosts)])


def _is_below(host: str, hosts: frozenset[str]) -> bool:
    name = host
    while "." in name:
        name = name.partition(".")[2]
        if f"*.{name}" in hosts:
            return True
    return False
