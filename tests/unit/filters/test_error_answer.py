import json

import pytest

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import CONSEQUENCES, Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions

HOSTILE = '<script>alert("1")</script> \\ \x1b[31m\r\nSet-Cookie: a=b \x00 \x7f \u2028 é \ud800'


def answer(failure: Failure, accept: str | None = None, **options: object) -> Response:
    exchange = Exchange(42, 1, "main", Address("192.0.2.1", 50000), 0.0)
    fields = Fields([("Accept", accept)] if accept else [])
    target = Target(Form.ABSOLUTE, "http", Authority("example.org"), "/")
    return ErrorAnswer(ErrorAnswerOptions(**options))(exchange, Request("GET", target, fields), failure)  # type: ignore[arg-type]


def content(response: Response) -> str:
    assert isinstance(response.body, Body)
    return response.body.take().decode()


def test_a_terminal_gets_four_plain_lines() -> None:
    failure = Failure("connection_refused", Side.UPSTREAM, "192.0.2.9:80 refused the connection.")
    response = answer(failure, "*/*")
    assert response.status == 502
    assert list(response.fields) == [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Proxy-Status", 'interpose; error=connection_refused; details="192.0.2.9:80 refused the connection."'),
    ]
    assert content(response) == (
        "502 Bad Gateway: The server refused the connection.\n"
        "192.0.2.9:80 refused the connection.\n"
        "Check the address, then try again in a moment.\n"
        "(connection_refused, upstream, reference 1-2a)\n"
    )


def test_a_program_gets_json() -> None:
    failure = Failure("dns_error", Side.UPSTREAM, "There is no nowhere.test.")
    response = answer(failure, "application/json")
    assert response.fields["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(content(response)) == {
        "status": 502,
        "error": "dns_error",
        "side": "upstream",
        "message": "The name of the server could not be looked up.",
        "detail": "There is no nowhere.test.",
        "reference": "1-2a",
    }


def test_a_browser_gets_a_page_that_loads_nothing() -> None:
    response = answer(Failure("http_response_timeout", Side.UPSTREAM, "No answer in 60 s."), "text/html,*/*;q=0.8")
    page = content(response)
    assert response.fields["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>The server did not answer in time.</h1>" in page
    assert '<p class="detail">No answer in 60 s.</p>' in page
    assert "<dd>1-2a</dd>" in page
    assert page.count("at-fault") - page.count(".at-fault") == 1
    for outside in ("<script", "<img", "<link", "@import", "url(", "http:", "https:", "$"):
        assert outside not in page
    assert response.fields["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")


@pytest.mark.parametrize("accept", ["text/plain", "text/html", "application/json"])
def test_a10_a_hostile_detail_stays_text_in_every_form(accept: str) -> None:
    response = answer(Failure("http_request_error", Side.DOWNSTREAM, HOSTILE), accept)
    text = content(response)
    assert "<script" not in text or accept != "text/html"
    if accept == "application/json":
        assert json.loads(text)["detail"].startswith('<script>alert("1")')
        assert "\x00" not in text
        assert "\x1b" not in text
    if accept == "text/plain":
        assert all(line.isprintable() for line in text.split("\n"))
    assert "Set-Cookie" not in response.fields
    assert response.fields["Proxy-Status"] == (
        "interpose; error=http_request_error; "
        'details="<script>alert(\\"1\\")</script> \\\\ ?[31m??Set-Cookie: a=b ? ? ? ? ?"'
    )


@pytest.mark.parametrize("accept", ["text/plain", "text/html"])
@pytest.mark.parametrize(("is_chosen", "whom"), [(True, "the proxy"), (False, "this site")])
def test_clients_of_a_gateway_are_not_told_of_a_proxy(accept: str, is_chosen: bool, whom: str) -> None:
    failure = Failure("http_request_denied", Side.DOWNSTREAM)
    assert f"ask whoever runs {whom} and name" in content(answer(failure, accept, is_chosen=is_chosen))


def test_a_message_in_any_language_can_be_read_in_a_terminal() -> None:
    text = content(answer(Failure("http_request_denied", Side.DOWNSTREAM, "Die Regel „Spiele“ gilt für Änne."), "*/*"))
    assert text.split("\n")[1] == "Die Regel „Spiele“ gilt für Änne."


@pytest.mark.parametrize("kind", sorted(CONSEQUENCES))
@pytest.mark.parametrize("accept", ["text/plain", "text/html", "application/json"])
def test_every_kind_has_an_answer_in_every_form(kind: str, accept: str) -> None:
    response = answer(Failure(kind, Side.INTERNAL), accept)
    assert response.status == CONSEQUENCES[kind].status
    assert response.fields["Proxy-Status"] == f"interpose; error={kind}"
    assert CONSEQUENCES[kind].says in content(response).replace("&#x27;", "'")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (400, "The request is not valid HTTP."),
        (408, "The request did not arrive in time."),
        (413, "The request's content is too large."),
        (414, "The address asked for is too long."),
        (417, "The request expects what cannot be promised."),
        (431, "The request has too many or too large fields."),
        (501, "The request asks for something that is not supported."),
        (505, "The request is in a version of HTTP that is not supported."),
        (499, "The request is not valid HTTP."),
    ],
)
def test_one_kind_says_something_else_with_each_status(status: int, sentence: str) -> None:
    response = answer(Failure("http_request_error", Side.DOWNSTREAM, status=status))
    assert response.status == status
    assert sentence in content(response)


@pytest.mark.parametrize(("kind", "waits"), [("destination_unavailable", "30"), ("connection_refused", None)])
def test_f24_a_client_is_told_when_to_come_back(kind: str, waits: str | None) -> None:
    assert answer(Failure(kind, Side.UPSTREAM), retry_after_s=30).fields.get("Retry-After") == waits


@pytest.mark.parametrize("accept", ["text/plain", "text/html", "application/json"])
def test_nothing_is_said_twice(accept: str) -> None:
    failure = Failure("proxy_loop_detected", Side.DOWNSTREAM, "The request has passed through this proxy before.")
    assert content(answer(failure, accept)).count("has passed through") == 1


def test_details_are_kept_back_when_asked_to() -> None:
    failure = Failure("connection_refused", Side.UPSTREAM, "10.0.0.7:9000 refused the connection.")
    for accept in ("text/plain", "text/html", "application/json"):
        response = answer(failure, accept, show_detail=False)
        assert "10.0.0.7" not in content(response)
        assert "10.0.0.7" not in response.fields["Proxy-Status"]


@pytest.mark.parametrize(
    ("pseudonym", "written"), [("edge-1", "edge-1"), ("1st", '"1st"'), ('a "b"', '"a \\"b\\""'), ("é", '"?"')]
)
def test_the_name_in_proxy_status_is_configurable(pseudonym: str, written: str) -> None:
    response = answer(Failure("dns_timeout", Side.UPSTREAM), pseudonym=pseudonym)
    assert response.fields["Proxy-Status"] == f"{written}; error=dns_timeout"


def test_a_request_that_could_not_be_read_is_answered_in_plain_text() -> None:
    exchange = Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0)
    response = ErrorAnswer(ErrorAnswerOptions())(exchange, None, Failure("http_request_error", Side.DOWNSTREAM))
    assert response.fields["Content-Type"] == "text/plain; charset=utf-8"
