"""What is told of scripts: in the API, among the problems, in `interpose status`."""

import dataclasses
import io
from typing import Any

import msgspec
import pytest
from rich.console import Console as Terminal
from tests.support.asgi import Asgi
from tests.support.console import Console
from tests.unit.console.test_overview import Told

from interpose.cli.status_view import scripts_view
from interpose.config.live_scripts import LiveScripts
from interpose.console.application import CONTROL, application
from interpose.console.exposition import exposition

TROUBLE: dict[str, Any] = {
    "function": "edit", "file": "/s/a.py", "line": 7, "error": "KeyError: 'x'", "count": 2, "at": 10.0,
    "exchange": "0-1",
}  # fmt: skip
ROW: dict[str, Any] = {
    "file": "/s/a.py", "functions": ["edit", "count"], "errors": 2, "broken": "", "off": [], "troubles": [TROUBLE],
}  # fmt: skip
OTHER = {**TROUBLE, "count": 3, "at": 20.0, "exchange": "1-5"}
SYNTAX = {**TROUBLE, "line": 9, "error": "TypeError: no", "count": 1, "at": 15.0, "exchange": ""}


async def answers(*rows: list[dict[str, Any]]) -> list[bytes]:
    return [msgspec.json.encode(one) for one in rows]


async def test_workers_are_told_of_as_one() -> None:
    one = {**ROW, "errors": 6, "off": ["edit"], "troubles": [OTHER, SYNTAX]}
    [row] = await LiveScripts(lambda _: answers([ROW], [one])).rows()
    assert row == {
        "file": "/s/a.py",
        "functions": ["edit", "count"],
        "errors": 8,
        "broken": "",
        "off": ["edit"],
        "troubles": [{**OTHER, "count": 5}, SYNTAX],
    }


async def test_the_api_tells_of_every_script(console: Console) -> None:
    scripts = LiveScripts(lambda _: answers([ROW, {**ROW, "file": "/s/b.py", "troubles": [], "broken": "b.py:1: no"}]))
    served = application(dataclasses.replace(console.services, scripts=scripts))
    told = (await Asgi(served, CONTROL).get("/scripts")).json["scripts"]
    assert [one["file"] for one in told] == ["/s/a.py", "/s/b.py"]
    assert told[0]["troubles"] == [TROUBLE]
    assert told[1]["broken"] == "b.py:1: no"


async def test_an_instance_that_knows_of_none_says_so(console: Console) -> None:
    answer = await Asgi(application(console.services), CONTROL).get("/scripts")
    assert (answer.status, answer.json["errors"]) == (404, ["The scripts of this instance cannot be asked about."])


def test_f23_the_overview_says_that_scripts_fail_and_forgets_it() -> None:
    told = Told()
    told.second(script_errors_total=2.0)
    told.second(script_errors_total=5.0)
    assert told.problems() == ["Scripts had 5 errors in the last minute. Below is where."]
    told.second(script_errors_total=5.0, script_functions_off=1.0, scripts_broken=2.0)
    assert told.problems() == [
        "A script has changed and cannot be loaded; the old one goes on. Below is why.",
        "Functions of scripts are not called at the moment, since they fail. Below is which.",
    ]
    told.instance.counters |= {"script_functions_off": 0.0, "scripts_broken": 0.0}
    for _ in range(61):
        told.second()
    assert told.problems() == []


def test_f23_monitoring_can_raise_an_alarm_of_it() -> None:
    text = exposition({"counters": {"script_functions_off": 1.0, "scripts_broken": 0.0}}, ())
    assert "\ninterpose_script_functions_off 1\n" in text
    assert "\ninterpose_scripts_broken 0\n" in text


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "line 7 in edit: KeyError: 'x' (2 times)"),
        ({"off": ["edit"], "troubles": []}, "not called: edit"),
        ({"off": ["edit"]}, "not called: edit; line 7 in edit: KeyError: 'x' (2 times)"),
        ({"broken": "a.py:3: \x1b[2Jinvalid"}, "changed, and cannot be loaded: a.py:3: \\x1b[2Jinvalid"),
        ({"troubles": []}, ""),
    ],
)
def test_the_status_says_what_is_wrong_with_a_script(row: dict[str, Any], says: str) -> None:
    output = io.StringIO()
    Terminal(file=output, width=200, highlight=False, markup=False).print(scripts_view([{**ROW, **row}]))
    assert output.getvalue().split("\n")[-2].split() == ["/s/a.py", "edit,", "count", "2", *says.split()]
