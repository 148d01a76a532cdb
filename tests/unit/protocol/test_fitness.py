"""What a script may make of a request, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from interpose.core import message as message_module
from interpose.core.body import Body
from interpose.core.fields import Fields
from interpose.core.message import Request
from interpose.core.target import Authority, Form, Target
from interpose.protocol.fitness import check_request

TARGET = Target(Form.ORIGIN, "http", Authority("a"), "/x", "y")

IS_COMPILED = not str(message_module.__file__).endswith(".py")


def request(**changes: Any) -> Request:
    message = Request("GET", TARGET, Fields())
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "M-SEARCH"},
        {"target": TARGET._replace(path="/a;b=%20'\"<>", query="?a=100%&\"'")},
        {"target": TARGET._replace(authority=Authority("2001:db8::1", 65535), scheme="https")},
        {"target": TARGET._replace(authority=Authority(""))},
        {"target": Target(Form.ASTERISK, "http", Authority("a"), "")},
        {"method": "OPTIONS", "target": Target(Form.ABSOLUTE, "http", Authority("a"), "")},
        {"method": "CONNECT", "target": Target(Form.AUTHORITY, "", Authority("a", 443), "")},
        {"upgrade": "websocket"},
        {"body": Body(b"\r\n\x00")},
    ],
)
def test_requests_that_can_be_written_pass(changes: dict[str, Any]) -> None:
    check_request(request(**changes))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"method": "GET / HTTP/1.1\r\nX: y"}, "method"),
        ({"method": ""}, "method"),
        ({"method": b"GET"}, "method"),
        ({"method": "M" * 33}, "method"),
        ({"method": "CONNECT"}, "CONNECT"),
        ({"target": Target(Form.AUTHORITY, "", Authority("a", 443), "")}, "CONNECT"),
        ({"target": "/x"}, "_replace"),
        ({"target": TARGET._replace(path="/a b")}, "path"),
        ({"target": TARGET._replace(path="/a\r\nX: y")}, "path"),
        ({"target": TARGET._replace(path="/a?b")}, "path"),
        ({"target": TARGET._replace(path="/ä")}, "path"),
        ({"target": TARGET._replace(path="x")}, "path"),
        ({"target": TARGET._replace(path="")}, "path"),
        ({"target": TARGET._replace(query="a b")}, "query"),
        ({"target": TARGET._replace(query="a\n")}, "query"),
        ({"target": TARGET._replace(query="a#b")}, "query"),
        ({"target": TARGET._replace(authority=Authority("a\r\nX: y"))}, "host"),
        ({"target": TARGET._replace(authority=Authority("a/b"))}, "host"),
        ({"target": TARGET._replace(authority="a")}, "host"),  # type: ignore[arg-type]
        ({"target": TARGET._replace(authority=Authority("a", 0))}, "port"),
        ({"target": TARGET._replace(authority=Authority("a", "80"))}, "port"),  # type: ignore[arg-type]
        ({"target": TARGET._replace(scheme="ftp")}, "scheme"),
        ({"upgrade": "h2c"}, "upgrade"),
        ({"fields": {"X": "y"}}, "Fields"),
        ({"body": b"abc"}, "Body"),
    ],
)
def test_requests_that_cannot_be_written_are_refused_in_words(changes: dict[str, Any], complaint: str) -> None:
    try:
        message = request(**changes)
    except TypeError:  # compiled, a request does not even take a value of another type
        assert IS_COMPILED
        return
    with pytest.raises(ValueError, match=complaint):
        check_request(message)
