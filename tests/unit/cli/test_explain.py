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
