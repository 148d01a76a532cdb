"""`interpose explain`, and what rules count, of a real instance with two workers and of a file that nobody runs."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.background import in_background
from tests.support.program import NAME, Program, interpose, wait_until
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose.config.explaining import Question, explanation_offline
from interpose.config.load import config_of

CONFIGURATION = """
[process]
workers = 2
[log]
access = "off"
[journal]
[[listener]]
name = "proxy"
role = "proxy"
address = "127.0.0.1:0"
[[access]]
name = "tried"
when = "path:/tried"
action = "deny"
dry_run = true
[[access]]
name = "no secrets"
when = "path:/secret/*"
action = "deny"
message = "Not for you."
[[access]]
name = "the rest"
action = "allow"
[[blocklist]]
name = "bad"
file = "bad.txt"
format = "domains"
"""


def fetch(port: int, url: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", url, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_hits_are_exact_and_a_refusal_is_explained_by_its_reference(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("blocked.example\n")
    file = tmp_path / "rules.toml"
    file.write_text(CONFIGURATION)
    at = ("--state", str(tmp_path / "state"), "--name", NAME)
    with (
        in_background(lambda: RawOrigin(answering(OK))) as origin,
        Program(tmp_path, "run", str(file), console=True) as program,
    ):
        url = f"http://{origin.address}"
        for _ in range(5):
            assert fetch(program.port, f"{url}/tried")[0] == 200
            assert fetch(program.port, f"{url}/x")[0] == 200
            status, content = fetch(program.port, f"{url}/secret/x")
            assert status == 403
            assert fetch(program.port, "http://www.blocked.example/")[0] == 403
        reference = json.loads(content)["reference"]

        def hits() -> dict[str, int]:
            said = json.loads(interpose("status", *at, "--json").stdout)
            return {row["name"]: row["hits"] for row in (*said["rules"], *said["blocklists"])}

        wanted = {"tried": 5, "no secrets": 5, "the rest": 15, "bad": 5}
        wait_until(lambda: hits() == wanted, "the hits of both workers are added up")
        shown = interpose("status", *at).stdout
        assert re.search(r"^2 +no secrets +deny +5 *$", shown, re.MULTILINE)
        assert re.search(r"^bad +1 +5 *$", shown, re.MULTILINE)

        said = interpose("explain", f"{url}/secret/x", "--from", "10.0.0.7", "--user", "ann", *at).stdout
        assert "GET http" in said
        assert "from ann at 10.0.0.7, on the listener proxy" in said
        assert "does not match: path:/tried, it is /secret/x" in said
        assert "By rule 2, no secrets, it is refused with 403: Not for you." in said
        wait_until(lambda: interpose("explain", reference, *at).returncode == 0, "the record is in the journal")
        said = interpose("explain", reference, *at).stdout
        assert f"Exchange {reference}" in said
        assert "Refused by access, rule no secrets: Not for you." in said
        assert "By rule 2, no secrets" in said
        answer = interpose("explain", "http://x.blocked.example/", *at, "--json")
        others = json.loads(answer.stdout)["others"]
        assert others[0] == {"by": "blocklist", "why": "The block list “bad” has it: blocked.example", "refuses": True}
        for wrong, words in (
            ("9-ffff", "no exchange 9-ffff"),
            ("ftp://x/", "the scheme ftp"),
            ("a:b", "neither a URL nor"),
        ):
            answer = interpose("explain", wrong, *at)
            said = answer.stderr.lower()
            assert (answer.returncode != 0, words.lower() in said, said.count("\n")) == (True, True, 1), wrong


def test_a_file_is_explained_without_anybody_running_it(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("blocked.example\n")
    file = tmp_path / "rules.toml"
    file.write_text(CONFIGURATION)
    said = interpose("explain", "127.0.0.1:22", "--config", str(file)).stdout
    assert "By rule 3, the rest, it is let through" in said
    assert "It would fail besides (connect_ports): Tunnels to port 22 are not allowed here" in said


LISTENERS: list[dict[str, Any]] = [
    {"name": "wide", "role": "proxy", "address": "127.0.0.1:0", "allow_from": ["10.0.0.0/8"], "connect_ports": [443]},
    {"name": "socks", "role": "socks", "address": "127.0.0.1:0"},
    {"name": "relay", "role": "relay", "address": "127.0.0.1:0", "upstream": "u"},
]
UPSTREAMS = [{"name": "u", "servers": ["127.0.0.1:9"]}]


@pytest.mark.parametrize(
    ("question", "action", "by"),
    [
        (Question("http://127.0.0.1/"), "allow", ["allow_from"]),
        (Question("http://127.0.0.1/", client="10.0.0.7"), "allow", []),
        (Question("http://127.0.0.1/", client="10.9.0.7"), "deny", []),
        (Question("http://127.0.0.1/", client="10.9.0.7", groups=["staff"]), "allow", []),
        (Question("http://169.254.169.254/", client="10.0.0.7"), "allow", ["addresses"]),
        (Question("127.0.0.1:25", client="10.0.0.7"), "allow", ["connect_ports"]),
        (Question("127.0.0.1:80", listener="socks"), "deny", []),
    ],
)
async def test_what_else_would_refuse_it_is_said_whatever_the_rules_say(
    question: Question, action: str, by: list[str]
) -> None:
    rules = [
        {"when": "from:10.9.0.0/16 group:staff", "action": "allow"},
        {"when": "from:10.9.0.0/16", "action": "deny"},
        {"when": "kind:tcp listener:socks", "action": "deny"},
    ]
    config = config_of({"listener": LISTENERS, "upstream": UPSTREAMS, "access": rules})
    said = await explanation_offline(question, config)
    assert said["decision"]["action"] == action
    assert [other["by"] for other in said["others"] if other["refuses"]] == by


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (Question("http://a.example/", listener="nobody"), "there is no listener nobody"),
        (Question("http://a.example/", listener="relay"), "speaks no HTTP"),
        (Question("http://a.example/", client="me"), "is no address of a client"),
        (Question("a b"), "is not a URL"),
        (Question(""), "names no page"),
    ],
)
async def test_what_cannot_be_asked_is_said_in_a_sentence(question: Question, says: str) -> None:
    config = config_of({"listener": LISTENERS, "upstream": UPSTREAMS})
    with pytest.raises(ValueError, match=says):
        await explanation_offline(question, config)


async def test_the_firewall_and_limits_are_named_since_they_are_not_asked() -> None:
    config = config_of(
        {
            "listener": [{"name": "web", "role": "gateway", "address": "127.0.0.1:0", "upstream": "u"}],
            "upstream": UPSTREAMS,
            "firewall": {"core_rules": False, "rule": [{"name": "no", "when": "path:/no"}]},
            "limit": [
                {"name": "slow", "requests_per_s": 1},
                {"name": "called", "requests_per_s": 1, "only_by_rule": True},
            ],
        }
    )
    said = await explanation_offline(Question("http://127.0.0.1/no"), config)
    assert [(other["by"], other["refuses"]) for other in said["others"]] == [("firewall", False), ("limit", False)]
    assert said["others"][1]["why"].endswith(": slow.")
