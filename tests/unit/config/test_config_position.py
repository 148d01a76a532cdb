"""Key paths are found on the lines where they stand."""

import pytest

from interpose.config.position import line_of, positions

TEXT = """\
# a remark with [brackets] and a = sign
title = "x = 1"

[process]
workers = 2   # trailing = remark
text = '''
[not.a.table]
workers = 9
'''

[[listener]]
address = ":1"
tls = { certificate = "a", key = "b" }
allow_from = [
  "10.0.0.0/8",  # [x]
  "nested = yes",
]
limits.max_fields = 3

[[listener]]
"address" = ":2"
[listener.tls]
key = "c"

[[route]]
[route.answer]
status = 200
"""


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("title", 2),
        ("process", 4),
        ("process.workers", 5),
        ("process.text", 6),
        ("listener", 11),
        ("listener[1]", 11),
        ("listener[1].address", 12),
        ("listener[1].tls.key", 13),
        ("listener[1].allow_from[2]", 14),
        ("listener[1].limits.max_fields", 18),
        ("listener[1].role", 11),
        ("listener[2].address", 21),
        ("listener[2].tls", 22),
        ("listener[2].tls.key", 23),
        ("route[1].answer.status", 27),
        ("route[1].answer.text", 26),
        ("upstream", None),
        ("", None),
    ],
)
def test_a_key_path_is_found_on_its_line_or_on_that_of_its_table(where: str, line: int | None) -> None:
    assert line_of(positions(TEXT), where) == line
    assert line_of(positions(TEXT.replace("\n", "\r\n")), where) == line
