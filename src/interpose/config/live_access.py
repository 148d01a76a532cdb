"""(in the supervisor) Access rules and block lists as they stand, and why a request was let through or refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from interpose.config.access import COUNTED_AS, ON_TRIAL
from interpose.config.blocklists import COUNTED_AS as LISTS_COUNTED_AS
from interpose.config.explaining import TOPIC
from interpose.config.limit_places import COUNTED_AS as LIMITS_COUNTED_AS
from interpose.config.limit_places import in_words
from interpose.config.model import Config
from interpose.core.query import parse
from interpose.storage.journal.reader import Reader

ANSWER_S = 10.0
"""How long a worker may take: it looks up the host."""

REFERENCE = re.compile(r"[0-9]{1,6}-[0-9a-f]{1,16}")


class LiveAccess:
    """See `console.services.Access`. `instance` is the supervisor, `lists` tells how block lists stand; without a
    `reader` of the journal nobody knows what exchanges have been."""

    def __init__(
        self,
        instance: Any,
        lists: Callable[[], Sequence[Mapping[str, Any]]] = lambda: (),
        reader: Reader | None = None,
    ) -> None:
        self._instance = instance
        self._lists = lists
        self._reader = reader

    async def rows(self) -> dict[str, Any]:
        """See `console.services.Access`."""
        config = msgspec.msgpack.decode(self._instance.config(), type=Config)
        hits = {tally.names: tally.statuses[0] for tally in self._instance.tallies() if tally.what == "rule"}
        rules = [
            {
                "number": number,
                "name": rule.name or rule.when,
                "when": rule.when,
                "action": rule.action,
                "dry_run": rule.dry_run,
                "listeners": list(rule.listeners),
                "hits": hits.get((ON_TRIAL if rule.dry_run else COUNTED_AS, rule.name or rule.when), 0),
            }
            for number, rule in enumerate(config.access, 1)
        ]
        lists = [{**row, "hits": hits.get((LISTS_COUNTED_AS, row["name"]), 0)} for row in self._lists()]
        limits = [
            {"name": rule.name, "allows": in_words(rule), "refused": hits.get((LIMITS_COUNTED_AS, rule.name), 0)}
            for rule in config.limit_rules
        ]
        return {"rules": rules, "blocklists": lists, "limits": limits}

    async def explained(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """See `console.services.Access`."""
        asked = TOPIC + b" " + msgspec.json.encode(question)
        answer = await self._instance.ask_a_worker(asked, ANSWER_S)
        if answer is None:
            raise ValueError("no worker says why; is one there?")
        said: dict[str, Any] = msgspec.json.decode(answer)
        if "error" in said:
            raise ValueError(said["error"])
        return said

    async def of_exchange(self, reference: str) -> dict[str, Any]:
        """See `console.services.Access`."""
        if REFERENCE.fullmatch(reference) is None:
            raise ValueError(
                f"{reference!r:.60} is no reference; it looks like 0-1f, and is on the page and in the log"
            )
        if self._reader is None:
            raise LookupError("exchanges are not recorded here; give the instance a [journal] table or a console")
        found = await asyncio.to_thread(self._reader.find, parse(f"exchange:{reference}"), limit=1)
        kept = await asyncio.to_thread(self._reader.get, found.rows[0].id) if found.rows else None
        if kept is None:
            raise LookupError(f"no exchange {reference} is in the journal (any more)")
        record = kept.record
        question = {
            "url": record.target,
            "client": record.client[0],
            "user": record.user or None,
            "method": record.method,
            "listener": record.listener,
        }
        try:
            now: dict[str, Any] | None = await self.explained(question)
        except ValueError:
            now = None
        return {
            "reference": reference,
            "record": found.rows[0].id,
            "status": record.status,
            "failure": record.failure,
            "notes": {name: record.notes[name] for name in NOTES if name in record.notes},
            "now": now,
        }


NOTES = ("filter", "rule", "why", "access", "dry_run", "bypassed", "hold", "decided")
"""The notes that say what was decided about an exchange, and by what."""
