"""HTML: elements removed and text put in, however the page is cut."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from interpose.filters.content.options import Insertion
from interpose.filters.content.page import PageEdits
from interpose.filters.content.selector import selector_of
from interpose.filters.content.tags import MAX_TAG_BYTES, Tags


def passed(step: PageEdits, data: bytes, cuts: Iterable[int] = ()) -> bytes:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return b"".join([step.feed(data[a:b]) for a, b in pairwise(places) if b > a]) + step.finish()


REMOVED = [
    ("div.ad", "a<div class=ad>x<div>y</div>z</div>b", "ab"),
    ("div.ad", "a<DIV CLASS='big ad'>x</div >b", "ab"),
    ("div.ad", "a<div class=add>x</div>b", "a<div class=add>x</div>b"),
    ("div.ad", "<div class='&#97;d'>x</div>b", "b"),
    ("#banner", "<p id=banner>x<p id=other>y", "<p id=other>y"),
    ("p.ad", "<p class=ad>x<b>y</b><div>z</div>", "<div>z</div>"),
    ("li.ad", "<ul><li class=ad>x<ul><li>y</ul><li>z</ul>", "<ul><li>z</ul>"),
    ("td.ad", "<table><tr><td class=ad>x<td>y<tr></table>", "<table><tr><td>y<tr></table>"),
    (".ad", "<section><b class=ad>x</section>y", "<section></section>y"),
    (".ad", "<div class=ad>x</i></b>y</div>z", "z"),
    ("img[src*='ads.']", "a<img src=//ads.example/x>b<img src=/x>", "ab<img src=/x>"),
    ("[data-ad]", "<a DATA-ad>x</a>y", "y"),
    ("a[rel~=sponsored]", "<a rel='nofollow sponsored'>x</a><a rel=sponsoreds>y</a>", "<a rel=sponsoreds>y</a>"),
    ("a[lang|=en]", "<a lang=en-GB>x</a><a lang=eng>y</a>", "<a lang=eng>y</a>"),
    (
        "a[href^='http:'][href$='.zip']",
        "<a href=http://a/b.zip>x</a><a href=http://a/b>y</a>",
        "<a href=http://a/b>y</a>",
    ),
    ("script", "<script>if (a<b) '</div>'</script>x", "x"),
    ("script", "<SCRIPT>'<script>'</SCRIPT>x", "x"),
    ("div", '<a title="<div>">x</a><div>y</div>', '<a title="<div>">x</a>'),
    ("div", "<a title='>'><div title='>'>y</div>", "<a title='>'>"),
    ("div", "<a title=a'<div>y</div>", "<a title=a'<div>y</div>"),
    ("div", "<!-- <div> --><div>x</div><!--><div>y</div>", "<!-- <div> --><!-->"),
    ("div", "<textarea><div></textarea><div>x</div>", "<textarea><div></textarea>"),
    ("div", "a < b <3 </ div><div>x</div> <", "a < b <3 </ div> <"),
    ("div", "<div>never ends", ""),
    ("div.a.b[c=d]", "<div class='b a' c=d>x</div><div class=a c=d>y</div>", "<div class=a c=d>y</div>"),
    ("iframe", "<iframe src=x><p></iframe>y", "y"),
    ("div", "<div class='x' class='y'>1</div>2", "2"),
    ("div.y", "<div class='x' class='y'>1</div>2", "<div class='x' class='y'>1</div>2"),
]


@pytest.mark.parametrize(("selector", "before", "after"), REMOVED)
def test_elements_are_removed_wherever_the_page_is_cut(selector: str, before: str, after: str) -> None:
    selectors = [selector_of(selector)]
    page = before.encode()
    for cuts in ([], range(len(page)), *[[place] for place in range(1, len(page))]):
        assert passed(PageEdits(selectors), page, cuts).decode() == after, list(cuts)


INSERTED = [
    ("<html><head><title></head></title></head><body>x</body></html>",
     "<html><head><title></head></title>H</head><body>xB</body></html>"),
    ("<!doctype html><body>x", "<!doctype html>H<body>xB"),
    ("<!DOCTYPE html><p>x", "<!DOCTYPE html><p>xHB"),
    ("<html><body><script>'</body>'</script></body><body></body>",
     "<html>H<body><script>'</body>'</script>B</body><body></body>"),
    ("<p>a part of a page</p>", "<p>a part of a page</p>"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), INSERTED)
def test_html_is_put_in_once_and_into_pages_only(before: str, after: str) -> None:
    insertions = [Insertion(end_of="head", html="H"), Insertion(html="B")]
    page = before.encode()
    for cuts in ([], range(len(page))):
        assert passed(PageEdits([], insertions), page, cuts).decode() == after


@given(
    parts=st.lists(st.sampled_from(["<", ">", "a", "/", "!", "--", "?", "=", '"', "'", " ", "script", "div", "p"])),
    cuts=st.lists(st.integers(0, 100)),
)
@examples(200)
def test_every_octet_of_any_text_comes_out_again(parts: list[str], cuts: list[int]) -> None:
    data = "".join(parts).encode()
    assert passed(PageEdits([selector_of("nothing")]), data, cuts) == data


def test_a_tag_that_never_ends_is_text() -> None:
    tags = Tags()
    data = b'<a b="' + b"x" * (2 * MAX_TAG_BYTES)
    seen = b"".join(
        [token[1] for start in range(0, len(data), 8192) for token in tags.feed(data[start : start + 8192])]
    )
    assert len(seen) > MAX_TAG_BYTES


@pytest.mark.parametrize("text", ["", "*", "div p", "div > p", "a:hover", "[", "a[b='c]", "div,p", ".", "#"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no selector|every element"):
        selector_of(text)


HOSTILE = [
    b"<" * 65536,
    b"<a " * 21845,
    b"<!--" * 16384,
    b"</x>" * 16384,
    b"<x>" * 10922 + b"</y>" * 8192,
    b"<a" + b" =" * 32767,
    b'<a b="' + b">" * 65530,
    b"<script>" + b"</scrip" * 9361,
]


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: data[:8].decode())
def test_a30_no_page_makes_the_reader_slow(data: bytes) -> None:
    """(THREATS A30) Time is in proportion to the page, also when it comes in small chunks."""
    selectors = [selector_of("div.advert"), selector_of('iframe[src*="ads."]')]

    def cost(size: int, chunk: int) -> float:
        best = 9.0
        for _ in range(3):
            step = PageEdits(selectors)
            began = time.process_time()
            for start in range(0, size, chunk):
                step.feed(data[start : start + chunk])
            step.finish()
            best = min(best, time.process_time() - began)
        return best

    assert cost(65536, 8192) < 0.15
    assert cost(65536, 64) < max(0.02, 2.5 * cost(32768, 64))
