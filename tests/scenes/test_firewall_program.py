"""The firewall of a running instance, asked on the command line: what it matched, and what other rules would do."""

from __future__ import annotations

import asyncio
import http.client
import json
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support.program import NAME, Program, interpose, wait_until
from tests.support.small_origin import SmallOrigin

from interpose.cli import control_client

FILE = """\
[firewall]

[console]
address = "127.0.0.1:0"

[[upstream]]
name = "shop"
servers = ["{origin}"]

[[listener]]
role = "gateway"
address = "127.0.0.1:0"
upstream = "shop"
"""
SENT = {"Host": "shop.example", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Accept": "*/*"}
SQL = "1' union select name from users -- "
# Harmless at paranoia 1, and too odd for 3.
ODD = "/search?" + urlencode({"q": "{[(<~>)]}; ''"})


def get(program: Program, target: str, body: dict[str, str] | None = None) -> int:
    [address] = [str(one["address"]) for one in program.ready if one["name"] == "gateway"]
    connection = http.client.HTTPConnection(address, timeout=20)
    content = urlencode(body) if body is not None else None
    fields = {**SENT, "Content-Type": "application/x-www-form-urlencoded"} if body is not None else SENT
    connection.request("GET" if body is None else "POST", target, content, fields)
    status = connection.getresponse().status
    connection.close()
    return status


def ask(directory: Path, method: str, path: str, **content: Any) -> Any:
    """What the control socket answers."""
    control = directory / "state" / NAME / "control.sock"
    answer = asyncio.run(control_client.ask(control, method, f"/v1/{path}", 30.0, json.dumps(content).encode()))
    assert answer.status == 200, answer
    return answer.content


def test_what_matched_is_listed_and_shown_and_other_rules_are_tried_on_what_has_passed(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    with SmallOrigin("shop") as origin:
        file.write_text(FILE.format(origin=origin.address))
        with Program(tmp_path / "run", "run", str(file), console=True, listeners=2) as program:
            where = ("--state", str(tmp_path / "run/state"), "--name", NAME)
            assert get(program, "/things?page=2") == 200
            assert get(program, "/search?" + urlencode({"id": SQL})) == 403
            assert get(program, "/blog/edit", {"text": SQL, "title": "a"}) == 403
            assert [get(program, ODD) for _ in range(2)] == [200, 200]

            run = tmp_path / "run"
            wait_until(lambda: len(ask(run, "GET", "flows")["flows"]) == 5, "five records")

            listed = ask(run, "GET", "firewall")
            assert [(row["result"], row["status"]) for row in listed["matches"]] == [("blocked", 403)] * 2
            edit, search = listed["matches"]
            assert edit["target"].endswith("/blog/edit")
            assert {"rule": "942100", "score": 5, "where": "ARGS:id"}.items() <= search["rules"][0].items()
            [top] = [row for row in listed["top"] if row["rule"] == "942100"]
            assert (top["count"], top["blocked"]) == (2, 2)
            text = interpose("firewall", "list", "path:/search", *where).stdout
            assert "942100" in text
            assert "/blog/edit" not in text
            shown = interpose("firewall", "show", str(edit["id"]), *where).stdout
            assert "ARGS:text" in shown
            assert f"score is {edit['score']}, the threshold 5" in shown

            same = ask(run, "POST", "firewall/try", query="path:/blog/*")
            assert (same["tried"], same["blocked_before"], same["blocked_after"]) == (1, 1, 1)
            assert (same["freed"], same["left"]) == (1, 0)
            [exclusion] = tomllib.loads(same["proposal"])["firewall"]["exclude"]
            assert (exclusion["when"], exclusion["variables"]) == ("path:/blog/edit", ["ARGS:text"])
            assert "942100" in exclusion["rules"]

            stricter = ask(run, "POST", "firewall/try", blocking_paranoia=3)
            assert (stricter["tried"], stricter["blocked_before"]) == (5, 2)
            assert [row["target"].partition("?")[0][-7:] for row in stricter["newly_blocked"]] == ["/search"] * 2
            assert (stricter["freed"], stricter["left"]) == (2, 0)
            freed = interpose("firewall", "try", "--exclude", "942000-942999", *where).stdout
            assert "Newly free" in freed
            assert "by these: 0." in freed
            wrong = interpose("firewall", "try", "--exclude", "every", *where)
            assert wrong.returncode != 0
            assert "942100" in wrong.stderr

            text = FILE.format(origin=origin.address)
            file.write_text(text + "\n" + same["proposal"])
            assert ask(run, "POST", "reload")["errors"] == []
            assert get(program, "/blog/edit", {"text": SQL, "title": "a"}) == 200
            assert get(program, "/search?" + urlencode({"id": SQL})) == 403
            file.write_text(text.replace("[firewall]", '[firewall]\ninclude = ["shop.toml"]'))
            refused = interpose("reload", *where)
            assert refused.returncode != 0
            assert f"{file}, line 1" in refused.stderr
            assert get(program, "/search?" + urlencode({"id": SQL})) == 403


def test_check_tells_of_rules_that_cannot_be_loaded_and_of_what_has_no_effect(tmp_path: Path) -> None:
    bad = tmp_path / "mine.conf"
    bad.write_text('# mine\nSecRule ARGS "@rx a" "id:5,phase:9"\n')
    file = tmp_path / "shop.toml"
    file.write_text(FILE.format(origin="127.0.0.1:9"))
    said = interpose("check", str(file))
    assert said.returncode == 0
    assert "firewall" in said.stdout
    assert "SecRequestBodyInMemoryLimit" in said.stdout
    file.write_text(FILE.format(origin="127.0.0.1:9").replace("[firewall]", f'[firewall]\ninclude = ["{bad}"]'))
    for command in ("check", "run"):
        said = (
            interpose(command, str(file), "--state", str(tmp_path))
            if command == "run"
            else interpose("check", str(file))
        )
        assert said.returncode == 2
        assert f"{bad}, line 2: Unknown phase: 9" in said.stderr
