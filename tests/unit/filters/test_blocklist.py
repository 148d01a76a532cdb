"""Block lists: what is on them, what is blocked because of them, and how to go there anyway."""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec
import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.blocklist.bypass import COOKIE, LINK_S, Bypass
from interpose.filters.blocklist.engine import rules_of
from interpose.filters.blocklist.filter import BlockLists
from interpose.filters.blocklist.lists import CompiledLists, Lists, compile_lists
from interpose.filters.blocklist.names import Names, read_names
from interpose.filters.blocklist.options import BlockList
from interpose.filters.blocklist.party import Purpose, purpose_of
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.protocol.target import parse_target


def request(url: str, method: str = "GET", **fields: str) -> Request:
    lines = [(name.replace("_", "-"), value) for name, value in fields.items()]
    if method == "CONNECT":
        host, _, port = url.rpartition(":")
        return Request(method, Target(Form.AUTHORITY, "", Authority(host, int(port)), ""), Fields(lines))
    return Request(method, parse_target(method, url.encode(), False), Fields(lines))


def lists(*given: tuple[dict[str, Any], str]) -> Lists:
    """Lists by their options and texts, compiled and loaded as a worker does it."""
    options = [BlockList(**{"name": f"list{number}", "file": "x", **one}) for number, (one, _) in enumerate(given)]
    texts = {one.name: text for one, (_, text) in zip(options, given, strict=True)}
    stored = msgspec.msgpack.encode(compile_lists(options, texts, b"sources"))
    return Lists(options, msgspec.msgpack.decode(stored, type=CompiledLists))


def found(lists: Lists, asked: Request) -> tuple[str, str] | None:
    blocked = lists.find(asked)
    return None if blocked is None else (blocked.options.name, blocked.rule)


AD = "ads.example"


@pytest.mark.parametrize(
    ("text", "is_hosts", "names"),
    [
        ("0.0.0.0 ads.example\n127.0.0.1\tB.Example  c.example # both\r\n", True, [AD, "b.example", "c.example"]),
        ("::1 localhost\n127.0.0.1 localhost\nfe80::1%lo0 localhost\n0.0.0.0 0.0.0.0\n", True, []),
        ("# only\n\n! this\n[that]\n", True, []),
        ("ads.example\nnot/an/address x\n", True, [None, None]),
        ("\ufeffads.example\n*.b.example\n.c.example\nd.example.\n", False, [AD, *map("{}.example".format, "bcd")]),
        ("bücher.example\n", False, ["xn--bcher-kva.example"]),
        ("two words\n||filter.example^\n-x.example\n" + "a" * 300, False, [None] * 4),
    ],
)  # fmt: skip
def test_lists_of_names_are_read_and_what_is_no_name_is_counted(
    text: str, is_hosts: bool, names: list[str | None]
) -> None:
    assert list(read_names(text, is_hosts=is_hosts)) == names


def test_a_host_is_just_itself_and_a_domain_everything_below_it() -> None:
    names = Names()
    names.add(["a.example", "both.example"], 0, with_all_below=False)
    names.add(["b.example", "both.example"], 1, with_all_below=True)
    assert names.find("a.example") == (0, "a.example")
    assert names.find("www.a.example") is None
    assert names.find("b.example") == (1, "b.example")
    assert names.find("x.y.b.example") == (1, "b.example")
    assert names.find("xb.example") is None
    assert names.find("both.example") == (0, "both.example")
    assert names.find("both.example", frozenset((0,))) == (1, "both.example")
    assert names.find("x.both.example") == (1, "both.example")


NEWS = "http://news.example/page"
SAME = {"Sec_Fetch_Site": "same-site", "Referer": NEWS}
CROSS = {"Sec_Fetch_Site": "cross-site"}


@pytest.mark.parametrize(
    ("path", "fields", "source", "kind"),
    [
        ("/x", {}, "", "other"),
        ("/x.JS?y", {}, "", "script"),
        ("/x.JS", {"Referer": NEWS}, NEWS, "script"),
        ("/", {"Sec_Fetch_Dest": "document", "Referer": NEWS}, "", "document"),
        ("/x", {"Accept": "text/html,*/*"}, "", "document"),
        ("/x", {"Accept": "image/webp", "Referer": NEWS}, NEWS, "image"),
        ("/x", {"Sec_Fetch_Dest": "script", **SAME}, "", "script"),
        ("/x", {"Sec_Fetch_Dest": "iframe", **CROSS}, "https://third-party.invalid/", "subdocument"),
        ("/x", {"Sec_Fetch_Dest": "made-up", "Referer": "javascript:alert(1)"}, "", "other"),
    ],
)
def test_what_a_request_is_for_and_on_whose_behalf(path: str, fields: dict[str, str], source: str, kind: str) -> None:
    url = f"http://a.example{path}"
    assert purpose_of(request(url, **fields)) == Purpose(url, source or url, kind)


FILTERS = """[Adblock Plus 2.0]
! Title: a list
||ads.example^
||tracker.example^$third-party
||img.example/*$image
/banner/*/top.js
@@||ads.example/needed/*
news.example##.advert
#@#.sponsored
"""


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        (request("http://ads.example/x"), "||ads.example^"),
        (request("http://www.ads.example/x"), "||ads.example^"),
        (request("http://ads.example/needed/x"), None),
        (request("http://ads.example:8080/x"), "||ads.example^"),
        (request("ads.example:443", "CONNECT"), "||ads.example^"),
        (request("tracker.example:443", "CONNECT"), None),
        (request("http://tracker.example/", Accept="text/html"), None),
        (request("http://tracker.example/t.js", Referer="http://news.example/"), "||tracker.example^$third-party"),
        (request("http://tracker.example/t.js", Referer="http://www.tracker.example/"), None),
        (request("http://img.example/x", Sec_Fetch_Dest="image"), "||img.example/*$image"),
        (request("http://img.example/x", Sec_Fetch_Dest="script"), None),
        (request("http://b.example/banner/7/top.js"), "/banner/*/top.js"),
        (request("http://news.example/"), None),
    ],
)
def test_filters_know_parties_types_and_exceptions(asked: Request, rule: str | None) -> None:
    assert found(lists(({"format": "filters"}, FILTERS)), asked) == (None if rule is None else ("list0", rule))


def test_what_is_in_a_list_is_told() -> None:
    given = lists(({"format": "filters"}, FILTERS), ({"format": "domains"}, "a.example\nnot this\n"))
    assert [msgspec.structs.astuple(one) for one in given.facts] == [("list0", 5, 2, 0), ("list1", 1, 0, 1)]


def test_an_exception_in_one_list_of_filters_holds_for_the_others_and_a_rule_is_its_own_lists() -> None:
    given = lists(
        ({"format": "filters"}, "||a.example^\n||b.example^\n"),
        ({"format": "filters"}, "@@||a.example^\n||c.example^\n"),
        ({"format": "domains"}, "d.example\n"),
    )
    hosts = ["a.example", "b.example", "c.example", "x.d.example", "e.example"]
    assert [found(given, request(f"http://{host}/")) for host in hosts] == [
        None,
        ("list0", "||b.example^"),
        ("list1", "||c.example^"),
        ("list2", "d.example"),
        None,
    ]


def test_of_rules_that_the_engine_joins_the_one_is_named_that_it_was() -> None:
    rules = [f"/adverts/{word}.js$script" for word in ("one", "two", "three", "four")]
    given = lists(({"format": "filters"}, "\n".join(rules[:2])), ({"format": "filters"}, "\n".join(rules[2:])))
    for number, rule in enumerate(rules):
        path = rule.partition("$")[0]
        asked = request(f"http://a.example{path}", Sec_Fetch_Dest="script")
        assert found(given, asked) == found(given, asked) == (f"list{number // 2}", rule)


def test_a_list_spares_the_hosts_it_is_told_to() -> None:
    spared = {"except_hosts": ("a.example", "*.a.example")}
    given = lists(({"format": "domains", **spared}, "example\n"), ({"format": "filters", **spared}, "/x.js"))
    assert found(given, request("http://a.example/x.js")) is None
    assert found(given, request("http://y.a.example/x.js")) is None
    assert found(given, request("http://b.example/x.js")) == ("list0", "example")
    assert found(given, request("http://b.test/x.js")) == ("list1", "/x.js")


def test_what_cannot_be_loaded_is_said_and_an_empty_list_blocks_nothing() -> None:
    options = [BlockList(name="a", file="x", format="filters")]
    broken = msgspec.structs.replace(compile_lists(options, {"a": "||a.example^"}, b""), engine=b"broken")
    with pytest.raises(ValueError, match="cannot be read"):
        Lists(options, broken)
    assert Lists(options, compile_lists(options, {}, b"")).find(request("http://a.example/")) is None


def test_a30_rules_of_lists_take_no_more_time_for_what_is_made_to_take_it() -> None:
    hostile = ["/(a+)+$/", "/(x*)*y/", "/([a-z]+)*[0-9]/", "*" + "a*" * 50 + "b", "||" + "a*" * 30 + "^"]
    given = lists(({"format": "filters"}, "\n".join(hostile)), ({"format": "domains"}, "a.example"))
    for path in ("a" * 8000, "x" * 8000, "a!" * 4000, "a." * 4000):
        began = time.process_time()
        given.find(request(f"http://b.example/{path}", Referer="http://" + "c." * 900 + "example/"))
        assert time.process_time() - began < 0.05
    began = time.process_time()
    rules_of("#" * 65536)
    list(read_names("a." * 32768 + "\n" + " " * 65536 + "-" * 65536, is_hosts=False))
    assert time.process_time() - began < 0.05


# --- the filter ------------------------------------------------------------------------------------------------------


class Blocking:
    """The filter before an end that answers 204, at a time of its own."""

    def __init__(self, *given: tuple[dict[str, Any], str]) -> None:
        self.lists = lists(*given)
        self.now = 1_000_000.0
        self.hits: list[str] = []
        self.seen: list[Request] = []
        hits = {one.name: (lambda name=one.name: self.hits.append(name)) for one in self.lists.options}
        render = ErrorAnswer(ErrorAnswerOptions(show_detail=False))
        bypass = Bypass(b"k" * 32) if any(one.bypass for one in self.lists.options) else None
        self.filter = BlockLists(self, bypass, render, hits, lambda: self.now)

    async def end(self, exchange: Exchange, request: Request) -> Response:
        self.seen.append(request)
        return Response(204)

    async def answer(self, asked: Request, client: str = "10.0.0.1") -> tuple[Response, Exchange]:
        exchange = Exchange(1, 0, "proxy", Address(client, 4711), 0.0)
        return await self.filter(exchange, asked, self.end), exchange


HTML = {"Accept": "text/html"}


async def test_a_page_says_which_rule_of_which_list_it_was() -> None:
    blocking = Blocking(({"format": "domains", "name": "adverts"}, "ads.example"))
    answer, exchange = await blocking.answer(request("http://x.ads.example/", **HTML))
    content = answer.body.take().decode()
    assert answer.status == 403
    assert "The block list “adverts” has it: ads.example" in content
    assert "Go there anyway" not in content
    assert (exchange.notes["filter"], exchange.notes["rule"]) == ("blocklist", "adverts: ads.example")
    assert (blocking.hits, blocking.seen) == (["adverts"], [])
    assert (await blocking.answer(request("http://b.example/")))[0].status == 204


async def test_an_image_is_an_empty_one_and_a_tunnel_a_refusal() -> None:
    blocking = Blocking(({"format": "domains", "bypass": True}, "ads.example"))
    answer, _ = await blocking.answer(request("http://ads.example/x", Sec_Fetch_Dest="image"))
    assert (answer.status, answer.fields["Content-Type"], answer.body.take()[:6]) == (403, "image/gif", b"GIF89a")
    with pytest.raises(Failure, match=r"has it: ads\.example"):
        await blocking.answer(request("ads.example:443", "CONNECT"))


async def test_a35_hostile_rules_and_addresses_are_text_on_the_page() -> None:
    rule = "/evil<img src=x onerror=alert(1)>*"
    blocking = Blocking(({"format": "filters", "bypass": True}, rule))
    answer, _ = await blocking.answer(
        request("http://b.example/evil<img%20src=x%20onerror=alert(1)>?\"'><script>alert(2)</script>", **HTML)
    )
    content = answer.body.take().decode()
    if answer.status == 403:  # the engine has taken the rule for one
        assert "&lt;img src=x" in content
    assert "<script" not in content
    assert "<img" not in content
    hostile = Blocking(({"format": "filters", "bypass": True}, "||ads.example^"))
    answer, _ = await hostile.answer(request("http://ads.example/?\"'><script>alert(2)</script>", **HTML))
    content = answer.body.take().decode()
    assert "Go there anyway" in content
    assert "<script" not in content
    assert re.findall(r'href="([^"]*)"', content)[0].startswith("http://ads.example/.well-known/interpose/anyway?")


async def test_who_goes_there_anyway_gets_there_for_a_while_and_nobody_else_does() -> None:
    blocking = Blocking(({"format": "domains", "bypass": True, "bypass_s": 60.0}, "ads.example"))
    page, _ = await blocking.answer(request("http://ads.example/x?y=1&z=%20", **HTML))
    (link,) = re.findall(r'href="([^"]*)"', page.body.take().decode())
    link = link.replace("&amp;", "&")
    for other, client in ((link.replace("ads.example/", "b.example/", 1), "10.0.0.1"), (link, "10.0.0.2")):
        assert (await blocking.answer(request(other), client))[0].status == 403
    assert (await blocking.answer(request(link.replace("x%3Fy", "z%3Fy"))))[0].status == 403
    answer, _ = await blocking.answer(request(link))
    assert (answer.status, answer.fields["Location"]) == (303, "/x?y=1&z=%20")
    cookie = answer.fields["Set-Cookie"].partition(";")[0]
    assert "HttpOnly; SameSite=Lax" in answer.fields["Set-Cookie"]

    asked = request("http://ads.example/x", Cookie=f"a=1; {cookie}; b=2")
    answer, exchange = await blocking.answer(asked)
    assert (answer.status, exchange.notes["bypassed"]) == (204, "list0: ads.example")
    assert blocking.seen[-1].fields.get_all("Cookie") == ["a=1; b=2"]  # the server is told nothing of it
    blocking.seen.clear()
    for url, client in (("http://ads.example/", "10.0.0.2"), ("http://x.ads.example/", "10.0.0.1")):
        assert (await blocking.answer(request(url, Cookie=cookie), client))[0].status == 403
    assert (await blocking.answer(request("http://b.example/", Cookie=cookie)))[0].status == 204
    assert blocking.seen[-1].fields.get("Cookie") is None
    blocking.now += 61
    assert (await blocking.answer(request("http://ads.example/", Cookie=cookie)))[0].status == 403
    blocking.now += LINK_S
    assert (await blocking.answer(request(link)))[0].status == 403  # the link has grown old


@pytest.mark.parametrize("to", ["//evil.example/", "/\\evil.example/", "http://evil.example/", "evil", "/\r\nX: y", ""])
def test_a_link_leads_nowhere_but_to_a_path(to: str) -> None:
    bypass = Bypass(b"k" * 32)
    query = bypass.link("10.0.0.1", "a.example", to, 0.0).partition("?")[2]
    assert bypass.followed("10.0.0.1", "a.example", query, 0.0) is None


@pytest.mark.parametrize("value", ["", "1", "99999999999.0", "x.y", "9999999999." + "0" * 32])
def test_a_cookie_that_is_not_ours_lets_nobody_through_and_is_taken_off(value: str) -> None:
    fields = Fields([("Cookie", f"{COOKIE}={value}")])
    assert not Bypass(b"k" * 32).taken_from(fields, "10.0.0.1", "a.example", 0.0)
    assert len(fields) == 0


async def test_below_http_a_list_is_asked_about_the_host() -> None:
    blocking = Blocking(({"format": "domains"}, "ads.example"))
    exchange = Exchange(1, 0, "socks", Address("10.0.0.1", 1), 0.0)
    assert await blocking.filter.admit(exchange, Authority("b.example", 25), "tcp") == ("b.example", 25)
    with pytest.raises(Failure):
        await blocking.filter.admit(exchange, Authority("x.ads.example", 443), "tcp")
