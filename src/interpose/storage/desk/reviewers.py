"""Who is looking at which hold just now."""

from __future__ import annotations

from collections.abc import Callable

LOOKING_S = 30.0
MAX_NAMES = 50
MAX_NAME_CHARACTERS = 64


class Reviewers:
    """Names by hold; each lasts for LOOKING_S unless it is said again. `now` is a clock that only goes forward."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._until: dict[str, dict[str, float]] = {}

    def look(self, id: str, who: str, reviewing: bool) -> bool:
        """Note that somebody looks, or does so no more; whether that is news."""
        before = self.of(id)
        names = self._until.setdefault(id, {})
        who = who[:MAX_NAME_CHARACTERS]
        names.pop(who, None)
        if reviewing and len(names) < MAX_NAMES:
            names[who] = self._now() + LOOKING_S
        if not names:
            del self._until[id]
        return self.of(id) != before

    def of(self, id: str) -> list[str]:
        """Who looks at a hold, in alphabetical order."""
        now = self._now()
        return sorted(name for name, until in self._until.get(id, {}).items() if until > now)

    def expired(self) -> list[str]:
        """Holds at which somebody looks no more, which are forgotten by this."""
        now = self._now()
        over = [id for id, names in self._until.items() if any(until <= now for until in names.values())]
        for id in over:
            names = {name: until for name, until in self._until[id].items() if until > now}
            if names:
                self._until[id] = names
            else:
                del self._until[id]
        return over

    def forget(self, id: str) -> None:
        """The hold is over."""
        self._until.pop(id, None)
