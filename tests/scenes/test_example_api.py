"""The API of examples/, started as it says: tokens, limits, and a release that is taken back by itself."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.support.program import NAME, wait_until
from tests.support.started import Started, own_address, started

from interpose.cli import control_client

PORTS = {"api": 8080, "login": 8082, "issuer": 9100, "canary": 9003}
USERS = [f"user{number}" for number in range(24)]
QUICKER = {
    "ramp = [0.02, 0.2, 1.0]": "ramp = [1.0]",
    "look_every_s = 5": "look_every_s = 0.2",
    "requests_per_s = 20\n": "requests_per_s = 1\n",
}
"""All users take part in the release at once, and who has used up a burst does not get another while a test runs."""


class Answer(NamedTuple):
    status: int
    fields: http.client.HTTPMessage
    content: Any


def ask(port: str, method: str, target: str, content: str = "", **fields: str) -> Answer:
    connection = http.client.HTTPConnection(own_address(), PORTS[port], timeout=20)
    said = {name.replace("_", "-"): value for name, value in fields.items()}
    connection.request(method, target, content or None, said)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    is_json = answer.headers.get_content_type() == "application/json"
    return Answer(answer.status, answer.headers, json.loads(body) if is_json else body)


def token_of(user: str) -> str:
    """A token, by the side door: the front one lets only five in at once."""
    answer = ask("issuer", "POST", "/token", urlencode({"user": user, "password": "example"}))
    assert answer.status == 200, answer
    return f"Bearer {answer.content['access_token']}"


def version_for(user: str, token: str) -> tuple[int, str]:
    """The status of what a user gets, and the version that answered it."""
    answer = ask("api", "GET", "/orders", Authorization=token)
    return answer.status, answer.content.get("version", "")


def test_who_has_a_token_is_served_within_limits_and_a_release_that_fails_is_taken_back(tmp_path: Path) -> None:
    with started("api", tmp_path, listeners=4, changes=QUICKER) as program:
        # Who asks.
        nobody = ask("api", "GET", "/orders")
        assert (nobody.status, nobody.fields["WWW-Authenticate"]) == (401, 'Bearer realm="Interpose"')
        assert ask("api", "GET", "/orders", Authorization="Bearer e30.e30.e30").status == 401
        assert ask("login", "GET", "/orders").content == b"Not Found"  # of the issuer, which has none
        ann = token_of("ann")
        served = ask("api", "POST", "/orders", '{"of": "tea"}', Authorization=ann, X_User="admin")
        assert served.status == 201
        assert (served.content["user"], served.content["order"]) == ("ann", {"of": "tea"})
        assert ask("api", "POST", "/orders", " " * 65_537, Authorization=ann).status == 413

        # How much.
        assert served.fields["RateLimit-Policy"] == '"users";q=40;w=40'
        answers = [ask("api", "GET", "/orders", Authorization=ann) for _ in range(60)]
        assert [answer.status for answer in answers[:38]] == [200] * 38
        assert {answer.status for answer in answers[38:]} >= {429}
        guesses = [ask("login", "POST", "/token", urlencode({"user": "ann", "password": n})).status for n in range(7)]
        assert guesses[:4] == [400] * 4
        assert 429 in guesses[4:]

        # The release: who is given the new version keeps it, until it fails.
        tokens = {user: token_of(user) for user in USERS}
        first = {user: version_for(user, token) for user, token in tokens.items()}
        assert set(first.values()) == {(200, "stable"), (200, "canary")}
        assert {user: version_for(user, token) for user, token in tokens.items()} == first
        ben = token_of("ben")
        tester = ask("api", "GET", "/orders", Authorization=ben, Experiment_release="version=canary")
        assert tester.content["version"] == "canary"
        assert ask("canary", "POST", "/break").status == 204
        for _ in range(30):
            seen = {user: version_for(user, token) for user, token in tokens.items()}
            assert set(seen.values()) <= {(200, "stable"), (500, "")}
        wait_until(lambda: release(program)["phase"] == "rolled back", "the guard sees that it fails")
        assert "of its exchanges fail" in release(program)["why"]
        assert {version_for(user, token) for user, token in tokens.items()} == {(200, "stable")}

        # One of its two servers dies, of which nobody hears.
        os.kill(program.servers["stable"][0], signal.SIGKILL)
        assert {version_for(user, token) for user, token in tokens.items()} == {(200, "stable")}


def release(program: Started) -> Any:
    """What is known of the release."""
    control = program.state / NAME / "control.sock"
    answer = asyncio.run(control_client.ask(control, "GET", "/v1/experiments/release", 20.0))
    assert answer.status == 200, answer
    return answer.content
