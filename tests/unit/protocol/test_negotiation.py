import time

import pytest

from interpose.protocol.negotiation import MOST_RANGES, best_coding, best_media_type, media_ranges

OFFERS = ("text/plain", "text/html", "application/json")
CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "text/plain"),
        ("", "text/plain"),
        ("*/*", "text/plain"),
        (CHROMIUM, "text/html"),
        ("image/avif,image/webp,image/*,*/*;q=0.8", "text/plain"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "text/plain"),
        ("application/json;charset=utf-8", "application/json"),
        ("text/*", "text/plain"),
        ("text/*;q=0.5, text/html;q=0.4, application/json;q=0.3", "text/plain"),
        ("text/*;q=0.5, text/plain;q=0, application/json;q=0.3", "text/html"),
        ("text/plain;q=0.001, application/json;q=0.002", "application/json"),
        ("TEXT/HTML", "text/html"),
        ("text/html;level=1, application/json;q=0.1", "application/json"),
        ("text/html;q=0.2;level=1, application/json;q=0.1", "text/html"),
        ("text/html ; q=0.2 , application/json ; q=0.9", "application/json"),
        ("*/*;q=0", None),
        ("image/png", None),
        ("text/html;q=1.5, application/json;q=0.1", "application/json"),
        ("text/html;q=, application/json;q=0.1", "application/json"),
        ("text/html;q=0.1, text/html;q=0.9, application/json;q=0.5", "text/html"),
        ('text/html;a="b,application/json;q=1", application/json;q=0.5', "application/json"),
        ("text, /html, text/, html;q=1", "text/plain"),
        (",,text/html,,", "text/html"),
        ("*/html", None),
    ],
)
def test_the_offer_with_the_greatest_weight_is_chosen(accept: str | None, chosen: str | None) -> None:
    assert best_media_type(accept, OFFERS) == chosen


def test_a12_a_long_list_is_cut() -> None:
    assert len(media_ranges("text/html," * 5000)) == MOST_RANGES


@pytest.mark.parametrize(
    "hostile",
    [
        'text/html;a="' + '\\"' * 4000,
        "a/b" + "; " * 4000 + "\x00",
        '"' * 8001,
        "a/b;" + " " * 8000 + "\x00",
        "a" * 8000,
    ],
)
def test_a30_no_spelling_takes_long(hostile: str) -> None:
    started = time.process_time()
    media_ranges(hostile)
    assert time.process_time() - started < 0.05


CODINGS = ("zstd", "br", "gzip")


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ([], ""),
        ([b""], ""),
        ([b"gzip, deflate, br, zstd"], "zstd"),
        ([b"gzip, deflate, br"], "br"),
        ([b"gzip;q=1.0, br;q=0.9, zstd;q=0.5"], "gzip"),
        ([b"zstd;q=0, br;q=0.001"], "br"),
        ([b"deflate"], ""),
        ([b"*"], "zstd"),
        ([b"*;q=0.5, gzip"], "gzip"),
        ([b"zstd;q=0, *"], "br"),
        ([b"*;q=0"], ""),
        ([b"identity;q=1, *;q=0"], ""),
        ([b"identity, gzip;q=0.5"], ""),
        ([b"identity;q=0.5, gzip;q=0.5"], "gzip"),
        ([b"identity;q=0, gzip;q=0.1"], "gzip"),
        ([b"GZip"], "gzip"),
        ([b"x-gzip"], "gzip"),
        ([b" gzip ; q=0.3 ,\tbr\t;\tQ=0.2"], "gzip"),
        ([b"br;q=0", b"gzip"], "gzip"),
        ([b"gzip;q=2, br;q=0.1"], "br"),
        ([b"gzip;q=, br;q=0.1"], "br"),
        ([b"gzip;q=0.1234"], ""),
        ([b"gzip;level=9"], ""),
        ([b"gzip;q=0.1, gzip;q=0.9, br;q=0.5"], "gzip"),
        ([b"g zip, ,,, br"], "br"),
        ([b"not-gzip, gzipped"], ""),
        ([b"deflate," * MOST_RANGES + b"gzip"], ""),
    ],
)
def test_the_coding_with_the_greatest_weight_is_chosen(values: list[bytes], chosen: str) -> None:
    assert best_coding(values, CODINGS) == chosen


def test_of_codings_liked_alike_the_server_chooses() -> None:
    assert best_coding([b"gzip, br, zstd"], ("gzip", "br")) == "gzip"
    assert best_coding([b"gzip, br, zstd"], ()) == ""


@pytest.mark.parametrize("hostile", [b"gzip;q=" + b"0" * 8000, b" " * 8000 + b"\x00", b"a" * 8000, b"gzip " * 1600])
def test_a30_no_coding_takes_long(hostile: bytes) -> None:
    started = time.process_time()
    assert best_coding([hostile], CODINGS) == ""
    assert time.process_time() - started < 0.05
