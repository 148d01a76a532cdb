"""Which `traceparent` is one (W3C Trace Context, 2.2 and 3.2)."""

from __future__ import annotations

import pytest

from interpose.protocol.trace_context import Parent, parent_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("value", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
    ],
)
def test_a_valid_field_names_trace_and_span_and_says_whether_it_is_recorded(value: str, is_sampled: bool) -> None:
    assert parent_of([value.encode()]) == Parent(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01 ",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"0-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.future",
        f"00-{TRACE}-{SPAN}-01\n",
        "\uff21" * 55,
    ],
)
def test_what_is_not_valid_names_nothing(value: str) -> None:
    assert parent_of([value.encode()]) is None


def test_several_fields_name_nothing_and_none_does_not_either() -> None:
    one = f"00-{TRACE}-{SPAN}-01".encode()
    assert parent_of([one, one]) is None
    assert parent_of([]) is None


def test_what_is_written_is_read_again() -> None:
    assert Parent(TRACE, SPAN).field() == f"00-{TRACE}-{SPAN}-01"
    assert parent_of([Parent(TRACE, SPAN).field().encode()]) == Parent(TRACE, SPAN)
