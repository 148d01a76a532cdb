"""What the API says of flows, from a real journal."""

from __future__ import annotations

import gzip
import shlex

import msgspec
import pytest
from tests.support.console import Console, Sent
from tests.support.journal_records import STARTED, record

from interpose.core.failure import Failure, Side
from interpose.core.hold import HeldMessage, What
from interpose.core.record import Kind, Part, Passage, Try

SECRETS = (
    b"Host: shop.example\r\nAuthorization: Bearer s3cret\r\nCookie: id=s3cret\r\nContent-Type: application/json\r\n"
)


def order(**changes: object):  # type: ignore[no-untyped-def]
    """A POST that was answered."""
    content = b'{"amount": 100}'
    known = {
        "method": "POST",
        "target": "http://shop.example:8000/orders?x=1",
        "scheme": "http",
        "port": 8000,
        "request": Part(SECRETS, content, len(content), 0.02),
        "status": 201,
        "reason": "Created",
        "response": Part(b"Content-Type: text/html; charset=utf-8\r\n", b"<p>ok</p>", 9, 0.24),
        "attempts": [
            Try("http://shop.example:8000", 0.021, 0.03, 0.1, ("10.1.1.1", 5555), ("::1", 443), False, "TLSv1.3",
                b"POST /orders HTTP/1.1\r\nHost: shop.example\r\nAuthorization: Bearer s3cret\r\n", 201)
        ],
        "user": "alice",
    }  # fmt: skip
    return record(1, **{**known, **changes})


async def test_flows_are_listed_the_newest_first(console: Console) -> None:
    await console.record(*(record(number) for number in range(7)))
    page = (await console.control.get("/flows?limit=3")).json
    assert ([row["id"] for row in page["flows"]], page["more"]) == ([7, 6, 5], True)
    page = (await console.control.get(f"/flows?limit=3&before={page['before']}")).json
    assert [row["id"] for row in page["flows"]] == [4, 3, 2]
    page = (await console.control.get("/flows?after=5")).json
    assert ([row["id"] for row in page["flows"]], page["more"]) == ([7, 6], False)
    assert (await console.control.get("/flows/count")).json == {"count": 7, "exact": True}


async def test_a_row_is_what_the_page_shows(console: Console) -> None:
    await console.record(order(client=("::1", 40001), failure="connection_terminated", held="abc"))
    row = (await console.control.get("/flows?q=method:POST")).json["flows"][0]
    assert row == {
        "id": 1, "exchange": "1-1", "kind": "http", "started": STARTED + 1, "duration_ms": 250.0, "listener": "proxy",
        "client": "[::1]:40001", "user": "alice", "method": "POST", "url": "http://shop.example:8000/orders?x=1",
        "host": "shop.example:8000", "path": "/orders?x=1", "status": 201, "type": "text/html", "request_size": 15,
        "response_size": 9, "messages": 0, "failure": "connection_terminated", "mark": "", "comment": "",
        "is": ["held", "error"],
    }  # fmt: skip


async def test_a_query_that_is_none_says_where(console: Console) -> None:
    answer = await console.control.get("/flows?q=host:a%20stats:1")
    assert (answer.status, answer.json["at"]) == (422, {"position": 7, "length": 5})
    assert "did you mean `status`?" in answer.json["errors"][0]
    assert (await console.control.get("/flows/count?q=status:x")).status == 422
    assert (await console.control.get("/flows/export?q=status:x")).status == 422


async def test_all_of_a_flow(console: Console) -> None:
    await console.record(order(parent="1-0", notes={"filter": "allow"}))
    flow = (await console.control.get("/flows/1")).json
    assert flow["timings"] == {
        "request_ms": 20.0, "waiting_ms": 80.0, "response_ms": 140.0, "total_ms": 250.0,
        "attempts": [{"started_ms": 21.0, "connected_ms": 30.0, "first_byte_ms": 100.0}],
    }  # fmt: skip
    assert flow["request"]["redacted"] == ["authorization", "cookie"]
    assert flow["request"]["fields"][1] == ["Authorization", "[redacted]"]
    assert (flow["request"]["size"], flow["request"]["kept"], flow["notes"]) == (15, 15, {"filter": "allow"})
    assert flow["attempts"][0]["line"] == "POST /orders HTTP/1.1"
    assert (flow["attempts"][0]["peer"], flow["attempts"][0]["local"]) == ("[::1]:443", "10.1.1.1:5555")
    assert (flow["parent"], flow["reason"], flow["version"]) == ("1-0", "Created", 1)


@pytest.mark.parametrize("path", ["9", "0", "x", "-1", "1e3", "99999999999999999999", "%D9%A1"])
async def test_what_is_no_flow_is_not_there(console: Console, path: str) -> None:
    await console.record(record())
    for rest in ("", "/curl", "/messages", "/preview/request", "/response/content"):
        assert (await console.control.get(f"/flows/{path}{rest}")).status == 404
    for rest in ("mark", "replay"):
        assert (
            await console.control.post(f"/flows/{path}/{rest}", b'{"mark": "star"}' if rest == "mark" else b"")
        ).status == 404


async def test_a35_content_is_given_away_as_a_file_and_as_nothing_else(console: Console) -> None:
    script = b"<script>alert(1)</script>"
    await console.record(order(response=Part(b"Content-Type: text/html\r\n", script, len(script))))
    page = await console.page("viewer")
    answer = await page.get("/flows/1/response/content")
    assert answer.content == script
    assert answer.fields["content-type"] == "application/octet-stream"
    assert answer.fields["content-disposition"] == 'attachment; filename="flow-1-response"'
    assert answer.fields["x-content-type-options"] == "nosniff"
    assert answer.fields["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "x-content-cut" not in answer.fields
    assert (await page.get("/flows/1/anything/content")).status == 404


async def test_content_comes_as_it_was_sent_or_with_its_coding_undone(console: Console) -> None:
    text = b" ".join(b"%d" % number for number in range(200))
    data = gzip.compress(text)
    fields = b"Content-Encoding: gzip\r\nContent-Type: text/plain\r\n"
    await console.record(
        order(response=Part(fields, data, len(data))), order(response=Part(fields, data[:40], len(data)))
    )
    assert (await console.control.get("/flows/1/response/content")).content == data
    assert (await console.control.get("/flows/1/response/content?decoded=1")).content == text
    cut = await console.control.get("/flows/2/response/content")
    assert (cut.content, cut.fields["x-content-cut"]) == (data[:40], "true")
    assert (await console.control.get("/flows/2/response/content?decoded=1")).status == 422
    preview = (await console.control.get("/flows/1/preview/response")).json
    assert (preview["kind"], preview["text"], preview["coding"]) == ("text", text.decode(), "gzip")


async def test_messages_come_a_page_at_a_time(console: Console) -> None:
    messages = [Passage(0.1 * n, n % 2 == 0, b"%d\xff" % n if n == 1 else b"%d" % n, 1, "text") for n in range(5)]
    await console.record(record(kind=Kind.WEBSOCKET, messages=messages, messages_total=9))
    page = (await console.control.get("/flows/1/messages?limit=2")).json
    assert page == {
        "messages": [
            {"n": 0, "at_ms": 0.0, "inbound": True, "kind": "text", "size": 1, "cut": False, "text": "0", "base64": ""},
            {"n": 1, "at_ms": 100.0, "inbound": False, "kind": "text", "size": 1, "cut": False, "text": None,
             "base64": "Mf8="},
        ],
        "more": True,
    }  # fmt: skip
    page = (await console.control.get("/flows/1/messages?after=4")).json
    assert ([message["n"] for message in page["messages"]], page["more"]) == ([4], False)


async def test_a_flow_is_marked_and_commented(console: Console) -> None:
    await console.record(record())
    assert (await console.control.post("/flows/1/mark", {"mark": "star"})).json["mark"] == "star"
    assert (await console.control.put("/flows/1/comment", {"comment": "look here"})).json["comment"] == "look here"
    assert (await console.control.get("/flows?q=mark:star%20comment:look")).json["flows"][0]["id"] == 1
    assert (await console.control.post("/flows/1/mark", {"mark": "<b>"})).status == 422
    assert (await console.control.put("/flows/1/comment", {"comment": "x" * 4001})).status == 422
    assert (await console.control.post("/flows/1/mark", {})).status == 422


async def test_curl_is_one_command_whatever_was_asked(console: Console) -> None:
    target = "http://shop.example/it's/$(id)/`id`/{a}/./?q=[1]"
    fields = (
        b"Host: shop.example\r\nX-Evil: '; rm -rf /; '\r\nEmpty: \r\nAuthorization: secret\r\nContent-Length: 5\r\n"
    )
    await console.record(order(target=target, request=Part(fields, b"@/etc", 9)))
    text = (await console.control.get("/flows/1/curl")).content.decode()
    assert "secret" not in text
    comments, _, command = text.partition("curl ")
    assert comments.splitlines() == [
        "# Left out, as they are not in the journal: authorization.",
        "# Only 5 of the 9 octets of the content were kept.",
    ]
    words = shlex.split(f"curl {command}".replace("\\\n", " "))
    assert words == [
        "curl", "--globoff", "--path-as-is", target, "--header", "X-Evil: '; rm -rf /; '", "--header", "Empty;",
        "--data-raw", "@/etc", "--header", "Content-Type:",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "GET", "request": Part()}, ["curl", "http://shop.example/"]),
        ({"method": "HEAD", "request": Part()}, ["curl", "--head", "http://shop.example/"]),
        ({"method": "DELETE", "request": Part()}, ["curl", "--request", "DELETE", "http://shop.example/"]),
        (
            {"method": "PUT", "request": Part(b"Content-Type: image/png\r\n", b"\x00\x01", 2)},
            [
                "curl",
                "--request",
                "PUT",
                "http://shop.example/",
                "--header",
                "Content-Type: image/png",
                "--data-binary",
                "@content",
            ],
        ),
    ],
)
async def test_curl_says_the_method_only_where_it_must(
    console: Console, changes: dict[str, object], words: list[str]
) -> None:
    await console.record(order(target="http://shop.example/", **changes))
    text = (await console.control.get("/flows/1/curl")).content.decode()
    assert shlex.split(text[text.index("curl ") :].replace("\\\n", " ")) == words


async def test_a_conversation_is_no_command_and_is_not_sent_again(console: Console) -> None:
    await console.record(
        record(kind=Kind.TCP, method="", target="127.0.0.1:7"), record(method="CONNECT", target="a:443")
    )
    for number in (1, 2):
        assert (await console.control.get(f"/flows/{number}/curl")).status == 409
        assert (await console.control.post(f"/flows/{number}/replay")).status == 409
    assert console.replayed == []


async def test_a_replay_leaves_out_what_nobody_knows_any_more(console: Console) -> None:
    await console.record(order())
    answer = await console.control.post("/flows/1/replay")
    assert answer.json == {
        "exchange": "2-1",
        "status": 201,
        "failure": "",
        "detail": "",
        "missing": ["authorization", "cookie"],
    }
    [(message, summary)] = console.replayed
    assert (message.what, message.method, message.target) == (
        What.REQUEST,
        "POST",
        "http://shop.example:8000/orders?x=1",
    )
    assert message.fields == b"Host: shop.example\r\nContent-Type: application/json\r\n"
    assert (message.content.data, summary.id) == (b'{"amount": 100}', 1)


async def test_a_replay_is_changed_before_it_is_sent(console: Console) -> None:
    await console.record(order())
    fields = [["Authorization", "Bearer new"], ["Cookie", "[redacted]"], ["Content-Type", "application/json"]]
    change = {"method": "PUT", "url": "http://shop.example/other", "fields": fields, "text": '{"amount": 1}'}
    answer = await console.control.post("/flows/1/replay", {"message": change})
    assert answer.json["missing"] == ["cookie"]
    message: HeldMessage = console.replayed[0][0]
    assert (message.method, message.target) == ("PUT", "http://shop.example/other")
    assert message.fields == b"Authorization: Bearer new\r\nContent-Type: application/json\r\n"
    assert message.content.data == b'{"amount": 1}'
    for bad in ({"method": "B\r\nAD"}, {"url": "ftp://x"}, {"fields": [["A b", "c"]]}, {"fields": [["A", "c\nd"]]}):
        assert (await console.control.post("/flows/1/replay", {"message": bad})).status == 422, bad
    assert len(console.replayed) == 1


async def test_a_replay_needs_its_content(console: Console) -> None:
    await console.record(order(request=Part(SECRETS, b"half", 9)))
    answer = await console.control.post("/flows/1/replay")
    assert (answer.status, answer.json["errors"]) == (
        409, ["Only 4 of the 9 octets of its content were kept; give the content."],
    )  # fmt: skip
    assert (await console.control.post("/flows/1/replay", {"message": {"text": "whole"}})).status == 200
    assert console.replayed[0][0].content.data == b"whole"


async def test_a_replay_that_fails_says_how(console: Console) -> None:
    await console.record(order())
    console.answer = Sent("2-2", 0, "connection_refused", "nobody listens")
    answer = await console.control.post("/flows/1/replay")
    assert (answer.json["failure"], answer.json["detail"]) == ("connection_refused", "nobody listens")
    console.answer = Failure("destination_unavailable", Side.INTERNAL, "No worker is there to send it.")
    answer = await console.control.post("/flows/1/replay")
    assert (answer.status, answer.json["errors"]) == (503, ["No worker is there to send it."])


async def test_two_flows_are_compared(console: Console) -> None:
    await console.record(
        order(), order(method="PUT", status=500, reason="", request=Part(b"Accept: a\r\nACCEPT: b\r\n", b"x", 1))
    )
    found = (await console.control.get("/flows/compare?a=1&b=2")).json
    assert (found["a"]["id"], found["b"]["id"]) == (1, 2)
    told = {one["where"]: (one["a"], one["b"]) for one in found["differences"]}
    assert told == {
        "method": ("POST", "PUT"), "status": (201, 500), "reason": ("Created", ""), "request.size": (15, 1),
        "request.field.host": ("shop.example", None), "request.field.authorization": ("[redacted]", None),
        "request.field.cookie": ("[redacted]", None), "request.field.content-type": ("application/json", None),
        "request.field.accept": (None, "a\nb"), "request.content": ('{"amount": 100}', "x"),
    }  # fmt: skip
    assert (await console.control.get("/flows/compare?a=1&b=1")).json["differences"] == []
    assert (await console.control.get("/flows/compare?a=1&b=9")).status == 404


async def test_a_journal_is_taken_elsewhere(console: Console) -> None:
    await console.record(*(record(number) for number in range(3)), order())
    answer = await console.control.get("/flows/export?q=method:GET")
    assert answer.fields["content-type"] == "application/x-ndjson"
    lines = answer.content.splitlines()
    assert len(lines) == 4
    assert msgspec.json.decode(lines[0]) == {"format": "interpose-journal", "version": 1}
    pieces = [answer.content[:100], answer.content[100:]]
    taken = await console.control.ask("POST", "/flows/import", pieces=pieces)
    assert taken.json == {"imported": 3}
    assert (await console.control.get("/flows/count")).json["count"] == 7


async def test_an_export_that_is_not_whole_leaves_nothing_behind(console: Console) -> None:
    await console.record(record())
    export = (await console.control.get("/flows/export")).content
    for bad in (export[:-5], b"nonsense\n", b"", export + b"{}\n"):
        answer = await console.control.ask("POST", "/flows/import", bad)
        assert answer.status == 422, bad
        assert "Nothing was taken in." in answer.json["errors"][0]
    assert (await console.control.get("/flows/count")).json["count"] == 1


async def test_a37_no_secret_leaves_by_any_way(console: Console) -> None:
    await console.record(order(response=Part(b"Set-Cookie: id=s3cret\r\n", b"", 0)))
    for path in ("", "/1", "/1/curl", "/compare?a=1&b=1", "/export"):
        answer = await console.control.get(f"/flows{path}")
        assert answer.status == 200
        assert b"s3cret" not in answer.content, path
    await console.control.post("/flows/1/replay")
    assert b"s3cret" not in console.replayed[0][0].fields


async def test_completions_say_what_they_replace(console: Console) -> None:
    found = (await console.control.get("/flows/complete?text=method:po&cursor=9")).json["completions"]
    assert found == [{"text": "POST", "from": 7, "to": 9, "about": ""}]
