"""Why a client command failed: one sentence for every failure there is."""

from __future__ import annotations

import pytest

from interpose.cli.explain import explained
from interpose.core.failure import CONSEQUENCES, Failure, Side


@pytest.mark.parametrize("kind", CONSEQUENCES)
@pytest.mark.parametrize("detail", ["", "tcp://h:1 refused the connection; is it running?", "It broke."])
def test_every_failure_is_one_sentence(kind: str, detail: str) -> None:
    said = explained(Failure(kind, Side.UPSTREAM, detail))
    assert said.endswith(".")
    assert ".:" not in said
    assert ". " not in said
    assert "tcp://" not in said
    assert "is it running" not in said


def test_what_a_person_can_do_is_said() -> None:
    refused = Failure("connection_refused", Side.UPSTREAM, "tcp://h:1 refused the connection; is it running?")
    assert explained(refused) == (
        "h:1 refused the connection: nothing listens on that port there; start the server first, or check address and "
        "port."
    )
    login = Failure("http_request_denied", Side.UPSTREAM, "The proxy p wants a user.", status=407)
    assert explained(login, "socks5").endswith("--proxy socks5://user:password@host:port.")
    assert "--retry" in explained(Failure("connection_refused", Side.UPSTREAM, "Nobody there (ICMP)."))


@pytest.mark.parametrize(
    ("kind", "detail", "said"),
    [
        (
            "connection_refused",
            "unix:/run/x refused the connection; is it running?",
            "unix:/run/x refused the connection: nothing listens on that socket; start the server first, or check the "
            "path.",
        ),
        (
            "http_protocol_error",
            "There were more than 10 redirects, the last one to http://h/.",
            "There were more than 10 redirects, the last one to http://h/.",
        ),
        (
            "http_protocol_error",
            "What the SOCKS server sent is no answer of SOCKS 5.",
            "What the SOCKS server sent is no answer of SOCKS 5: the port may speak something else; check the address "
            "of the proxy, and its scheme.",
        ),
        (
            "destination_ip_unroutable",
            "192.0.2.255:9 is a broadcast address; a datagram goes to one machine here.",
            "192.0.2.255:9 is a broadcast address; a datagram goes to one machine here.",
        ),
    ],
)
def test_advice_fits_what_happened(kind: str, detail: str, said: str) -> None:
    assert explained(Failure(kind, Side.UPSTREAM, detail)) == said
