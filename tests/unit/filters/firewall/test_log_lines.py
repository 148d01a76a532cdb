"""The library's messages: what is in one, and that nothing a client sends is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpose.filters.firewall.log_lines import LogLines
from interpose.filters.firewall.reasons import Match

SECRET = "/tmp/interpose-x/5f2e"
LINES = LogLines(SECRET)
REST = '[rev ""] [msg "{msg}"] [data "{data}"] [severity "{severity}"] [ver "OWASP_CRS/3.3.4"] [maturity "0"]'


def line(
    said: str = "", *, file: str = f"{SECRET}/rules/a.conf", id: str = "942190", msg: str = "Words", data: str = "",
    severity: str = "2", tags: str = "",
) -> bytes:  # fmt: skip
    rest = REST.format(msg=msg, data=data, severity=severity)
    return f'ModSecurity: Warning. {said} [file "{file}"] [line "165"] [id "{id}"] {rest}{tags} [uri "/"]'.encode()


MATCHED = "Matched \"Operator `Rx' with parameter `x' against variable `ARGS:id' (Value: `1' )"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (line(MATCHED), Match("942190", 5, "ARGS:id", "Words")),
        (line("detected SQLi", data="Matched Data: s found within ARGS:q: 1"), Match("942190", 5, "ARGS:q", "Words")),
        (line(MATCHED, severity="4"), Match("942190", 3, "ARGS:id", "Words")),
        (line(MATCHED, severity="7"), Match("942190", 0, "ARGS:id", "Words")),
        (line(tags=' [tag "attack-sqli"] [tag "paranoia-level/1"]'),
         Match("942190", 5, "", "Words", ("attack-sqli", "paranoia-level/1"))),
        (line(MATCHED, data='a"] [severity "7"] [ver "'), Match("942190", 5, "ARGS:id", "Words")),
        (line(MATCHED, id="949110"), None),
        (line(MATCHED, id="980130"), None),
        (line(MATCHED, file="/etc/other.conf"), None),
        (b"Request body limit is marked to reject the request", None),
        (b"", None),
    ],
)  # fmt: skip
def test_what_a_line_tells(text: bytes, match: Match | None) -> None:
    assert LINES.match(text) == match


def test_what_a_client_wrote_before_it_does_not_count() -> None:
    forged = line(file="/tmp/interpose-x/guess/rules/a.conf", id="1", msg="forged").decode()
    assert LINES.match(line(f"{MATCHED} {forged}")) == Match("942190", 5, "ARGS:id", "Words")


def test_sums_are_those_of_our_own_rules() -> None:
    sums = "0,0,0,0,5,3,0,0,4,0,0,0"
    assert LINES.sums(line(id="8400090", msg=sums)) == ((5, 3, 0, 0), (4, 0, 0, 0))
    assert LINES.sums(line(id="8400091", msg="15,20,3,0,,,,,0,0,0,0")) == ((15, 20, 3, 0), (0, 0, 0, 0))
    assert LINES.sums(line(id="8400090", msg="1,2")) is None
    assert LINES.sums(line(id="942190", msg=sums)) is None
    assert LINES.sums(line(id="8400090", msg=sums, file="/tmp/guess/own.conf")) is None


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_any_octets_are_a_match_or_none(before: bytes, after: bytes) -> None:
    for text in (before, before + b'[file "' + SECRET.encode() + b"/" + after):
        LINES.match(text)
        LINES.sums(text)
