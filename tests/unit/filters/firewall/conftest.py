"""The Core Rule Set, loaded once for all tests of this directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from interpose.filters.firewall.messages import Answer, Inspect, Setup, Verdict
from interpose.filters.firewall.options import Exclusion, Firewall
from interpose.filters.firewall.process import Rules
from interpose.filters.firewall.rule_text import LIBRARY, flags_for, rule_text

BROWSER = {
    "Host": "shop.example",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.5",
    "Referer": "https://shop.example/",
    "Cookie": "session=5b1f0c9a7e3d4f62; theme=dark",
}

Ask = Callable[..., Verdict]


def loaded(options: Firewall) -> Rules:
    text = rule_text(options)
    return Rules(Setup(LIBRARY, text.text, text.links))


def asking(rules: Rules) -> Ask:
    """Asks about a request, with the fields of a browser but for those that are given (None takes one away)."""

    def ask(
        target: str = "/",
        method: str = "GET",
        fields: Mapping[str, str | None] | None = None,
        body: bytes = b"",
        *,
        flags: str = "1-1",
        answer: tuple[int, Mapping[str, str], bytes] | None = None,
    ) -> Verdict:
        sent = {**BROWSER, **({"Content-Length": str(len(body))} if body else {}), **(fields or {})}
        asked = Inspect(
            7, flags, ("192.0.2.7", 4000), ("192.0.2.1", 80), method, target, "1.1", section(sent), body,
            answer is not None,
        )  # fmt: skip
        verdict = rules.inspect(asked)
        if answer is None or verdict.status:
            return verdict
        status, answered, content = answer
        return rules.answer(Answer(7, status, section(answered), content))

    return ask


def section(fields: Mapping[str, str | None]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None).encode("latin-1")


@pytest.fixture(scope="module")
def ask() -> Ask:
    return asking(loaded(Firewall()))


@pytest.fixture(scope="module")
def ask_with_exclusions() -> Ask:
    exclusions = (
        Exclusion(rules=("942000-942999",), variables=("ARGS:note",)),
        Exclusion(when="path:/a", rules=("942000-942999",), variables=("ARGS:id",)),
        Exclusion(when="path:/b", tags=("attack-xss",)),
        Exclusion(rules=("930100-930199",)),
    )
    return asking(loaded(Firewall(blocking_paranoia=1, detection_paranoia=3, exclusions=exclusions)))


def flags(*exclusions: int, detects: bool = False) -> str:
    return flags_for("1-1", detects=detects, exclusions=list(exclusions))
