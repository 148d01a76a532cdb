"""What of a spool is still to happen, looked at again and again at little cost.

Releases and edits are made by other processes, which leave them in the directory. So it is looked at, once a second:
the directory is read anew only when something was added to it, and a manifest only when it was replaced.
"""

from __future__ import annotations

import logging
import os

from interpose.storage.spool import Spool
from interpose.storage.spool_item import Item, State
from interpose.storage.spool_upload import MANIFEST

log = logging.getLogger("interpose")

OVER = (State.CONFIRMED, State.DROPPED)
RACY_NS = 2_000_000_000
"""A directory that changed so lately may have changed again within one tick of the file system's clock."""


class Watch:
    """The unfinished items of a spool, and those that failed and may be released again."""

    def __init__(self, spool: Spool) -> None:
        self.by_id: set[str] = set()
        """Servers that have confirmed something under its id: what they speak is known after a restart too."""
        self._spool = spool
        self._read_at: tuple[int, bool] = (-1, False)
        self._known: dict[str, tuple[tuple[int, int], Item]] = {}
        self._over: set[str] = set()
        self._damaged: set[str] = set()

    def look(self, now_ns: int) -> list[Item]:
        """The items, in the order in which they came. Raises OSError when the directory cannot be read."""
        for id_ in self._ids(now_ns):
            self._read(id_)
        return sorted((item for _, item in self._known.values()), key=lambda item: (item.received_at, item.id))

    def _ids(self, now_ns: int) -> list[str]:
        """What is to be looked at: everything in a directory that has changed, else what is known to be unfinished."""
        changed = os.stat(self._spool.directory).st_mtime_ns
        is_settled = changed + RACY_NS < now_ns
        if self._read_at == (changed, True):
            return list(self._known)
        self._read_at = (changed, is_settled)
        ids = set(self._spool.ids())
        self._over &= ids
        self._damaged &= ids
        for gone in self._known.keys() - ids:
            del self._known[gone]
        return list(ids - self._over)

    def _read(self, id_: str) -> None:
        path = os.path.join(self._spool.directory, id_, MANIFEST)
        try:
            status = os.stat(path, follow_symlinks=False)
            state = (status.st_ino, status.st_mtime_ns)
            known = self._known.get(id_)
            if known is not None and known[0] == state:
                return
            item = self._spool.find(id_)
        except (OSError, ValueError) as error:
            self._known.pop(id_, None)
            if id_ not in self._damaged:
                self._damaged.add(id_)
                log.warning("spool: %s is left alone, its manifest cannot be read: %s", path, error)
            return
        if item is not None and item.by_id and item.state is State.CONFIRMED:
            self.by_id.add(item.server)
        if item is None or item.state in OVER:
            self._known.pop(id_, None)
            self._over.add(id_)
        else:
            self._known[id_] = (state, item)
