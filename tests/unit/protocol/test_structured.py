"""Dictionaries of structured fields, RFC 9651: all of it is right, or none of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.protocol.structured import MOST_MEMBERS, Item, dictionary

TRUE = Item(True, None, None)
OTHER = Item(False, None, None)


def number(value: int) -> Item:
    return Item(False, value, None)


def text(value: bytes) -> Item:
    return Item(False, None, value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"a=1"], {b"a": number(1)}),
        ([b"a=-1"], {b"a": number(-1)}),
        ([b"a=1, b=2"], {b"a": number(1), b"b": number(2)}),
        ([b"a=1", b"b=2"], {b"a": number(1), b"b": number(2)}),
        ([b"a=1 ,\tb=2"], {b"a": number(1), b"b": number(2)}),
        ([b"  a=1  "], {b"a": number(1)}),
        ([b"a"], {b"a": TRUE}),
        ([b"a, b"], {b"a": TRUE, b"b": TRUE}),
        ([b"a=?1"], {b"a": TRUE}),
        ([b"a=?0"], {b"a": OTHER}),
        ([b"a;x=1;y"], {b"a": TRUE}),
        ([b"a=1; x=tok"], {b"a": number(1)}),
        ([b"a=1, a=2"], {b"a": number(2)}),
        ([b'a="x, \\"y\\" \\\\"'], {b"a": text(b'x, "y" \\')}),
        ([b'a=""'], {b"a": text(b"")}),
        ([b"a=tok/x:y"], {b"a": text(b"tok/x:y")}),
        ([b"a=*"], {b"a": text(b"*")}),
        ([b"*a.b-c_d=1"], {b"*a.b-c_d": number(1)}),
        ([b"a=1.5"], {b"a": OTHER}),
        ([b"a=:aGk=:"], {b"a": OTHER}),
        ([b"a=@1659578233"], {b"a": OTHER}),
        ([b"a=(1 2), b=()"], {b"a": OTHER, b"b": OTHER}),
        ([b'a=( 1;x "b" );y=2'], {b"a": OTHER}),
        ([b"a=999999999999999"], {b"a": number(999999999999999)}),
        ([b""], {}),
        ([], {}),
    ],
)
def test_a_dictionary_has_its_members(values: list[bytes], expected: dict[bytes, Item]) -> None:
    assert dictionary(values) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"a=1,", b",a=1", b"a=1,,b=2", b"A=1", b"a =1", b"a= 1", b"a=1 b=2", b"a=", b"a=&", b"&", b"1=a", b"a=1.",
        b"a=.5", b"a=--1", b"a=1000000000000000", b"a=1.2345", b'a="x', b'a="x\\y"', b'a="\x80"', b"a=?2", b"a=(1",
        b"a=(1,2)", b"a=:x", b"a=1;", b"a=1;X", b"a\t=1", b"a=1;x=", b"a\n",
    ],
)  # fmt: skip
def test_one_mistake_makes_it_none(raw: bytes) -> None:
    assert dictionary([raw]) is None
    assert dictionary([b"z=1", raw]) is None


def test_it_has_not_too_many_members() -> None:
    assert dictionary([b"a"] * MOST_MEMBERS) == {b"a": TRUE}
    assert dictionary([b"a"] * (MOST_MEMBERS + 1)) is None


@given(st.lists(st.text('ab=1.-";:?(),\\ \t*', max_size=30).map(str.encode) | st.binary(max_size=20), max_size=3))
@settings(max_examples=500, derandomize=True, deadline=None)
def test_any_bytes_are_a_dictionary_or_none(values: list[bytes]) -> None:
    found = dictionary(values)
    assert found is None or all(type(item) is Item for item in found.values())
