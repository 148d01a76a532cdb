"""The firewall's tables: what goes together, what is inspected, and what the library is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.journal_records import record

from interpose.config.firewall import in_words, options_for
from interpose.config.firewall_trial import cases_of
from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.problem import ConfigError
from interpose.core.record import Kind
from interpose.filters.firewall.options import Exclusion, Firewall
from interpose.filters.firewall.rule_text import flags_for, ids_in, levels_in, rule_text

TABLES: dict[str, Any] = {
    "listener": [
        {"name": "web", "role": "gateway", "address": "127.0.0.1:8080"},
        {"name": "inner", "role": "gateway", "address": "127.0.0.1:8081"},
        {"name": "way-out", "role": "proxy", "address": "127.0.0.1:8082"},
    ],
    "upstream": [{"name": "app", "servers": ["127.0.0.1:9000"]}],
    "route": [
        {"name": "plain", "path": "/plain", "upstream": "app", "firewall": {"mode": "off"}},
        {"name": "watched", "path": "/watched", "upstream": "app", "firewall": {"mode": "detect"}},
        {"name": "rest", "upstream": "app"},
    ],
}


def configured(**firewall: Any) -> Config:
    return config_of({**TABLES, "firewall": firewall})


@pytest.mark.parametrize(
    ("firewall", "where", "why"),
    [
        ({"rule": [{"when": "response.body:x", "side": "outbound"}]}, "firewall.rule[1].when", "is known when the"),
        ({"rule": [{"when": "status:500"}]}, "firewall.rule[1].when", "status"),
        ({"rule": [{"when": "path:("}]}, "firewall.rule[1].when", ""),
        ({"exclude": [{"variables": ["ARGS:a"]}]}, "firewall.exclude[1].rules", "names no rule"),
        ({"exclude": [{"rules": ["all"]}]}, "firewall.exclude[1].rules[1]", "is not the number of a rule"),
        ({"exclude": [{"rules": ["9-3"]}]}, "firewall.exclude[1].rules[1]", "ends before it begins"),
        ({"exclude": [{"rules": ["1"], "variables": ['ARGS:a"']}]}, "firewall.exclude[1].variables[1]", "look at"),
        ({"exclude": [{"rules": ["1"], "variables": ["ARGS:a,ctl:x"]}]}, "firewall.exclude[1].variables[1]", ""),
        ({"exclude": [{"tags": ["a b"]}]}, "firewall.exclude[1].tags[1]", "is not a tag"),
        ({"exclude": [{"rules": ["1"], "when": "request.body:x"}]}, "firewall.exclude[1].when", ""),
        ({"blocking_paranoia": 3, "detection_paranoia": 2}, "firewall.detection_paranoia", "lies below"),
        ({"blocking_paranoia": 5}, "firewall.blocking_paranoia", ""),
        ({"rule_set": "/etc"}, "firewall.rule_set", "has no directory `rules`"),
        ({"mode": "on"}, "firewall.mode", ""),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(firewall: dict[str, Any], where: str, why: str) -> None:
    with pytest.raises(ConfigError) as error:
        configured(**firewall)
    assert [problem.where for problem in error.value.problems] == [where]
    assert why in error.value.problems[0].message


def test_a_route_needs_the_table() -> None:
    with pytest.raises(ConfigError) as error:
        config_of(TABLES)
    assert [problem.where for problem in error.value.problems] == ["route[1].firewall", "route[2].firewall"]


def modes(config: Config) -> dict[tuple[str, str], str | None]:
    found = {}
    for listener in config.listeners:
        for route in config.routes if listener.role == "gateway" else (None,):
            options = options_for(config, listener, route)
            found[listener.name, route.name if route else ""] = options.mode if options else None
    return found


def test_who_is_inspected() -> None:
    assert modes(configured(listeners=["web"])) == {
        ("web", "plain"): None,
        ("web", "watched"): "detect",
        ("web", "rest"): "block",
        ("inner", "plain"): None,
        ("inner", "watched"): None,
        ("inner", "rest"): None,
        ("way-out", ""): None,
    }
    assert set(modes(configured(mode="off")).values()) == {None, "detect"}
    assert set(modes(configured(core_rules=False)).values()) == {None}, "without rules there is nothing to ask"


def test_what_is_tried_is_what_is_inspected_or_would_be() -> None:
    records = [
        (1, record(1, listener="web", route="rest")),
        (2, record(2, listener="web", route="plain")),
        (3, record(3, listener="inner", route="watched")),
        (4, record(4, listener="way-out")),
        (5, record(5, listener="gone")),
        (6, record(6, listener="web", route="rest", kind=Kind.TUNNEL)),
        (7, record(7, listener="inner", route="rest")),
    ]
    assert [id for id, _ in cases_of(records, configured())] == [1, 3, 7]
    assert [id for id, _ in cases_of(records, configured(listeners=["web"]))] == [1, 3]
    assert [id for id, _ in cases_of(records, replace(configured(), firewall=None))] == [1, 3, 7]


def test_plugins_stand_before_and_behind_the_rule_set(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    for name in ("x-before.conf", "x-after.conf", "x-config.conf", "x.lua"):
        (plugins / name).write_text("# nothing\n")
    made = rule_text(Firewall(rule_set=str(rule_set(tmp_path)), plugins=str(plugins)))
    assert [line for line in made.text.split("\n") if line.startswith("Include")] == [
        "Include {setup}/crs-setup.conf",
        "Include {plugins}/x-config.conf",
        "Include {plugins}/x-before.conf",
        "Include {rules}/a.conf",
        "Include {plugins}/x-after.conf",
    ]


def test_it_is_told_in_words() -> None:
    assert in_words(Firewall()) == ("block at 5 in, 4 out; Core Rule Set, paranoia 1, 2 processes, 1 s")
    more = Firewall(mode="detect", detection_paranoia=3, exclusions=(Exclusion(rules=("1",)),), larger_body="pass")
    assert in_words(more) == (
        "detect at 5 in, 4 out; Core Rule Set, paranoia 1, noted up to 3, 2 processes, 1 s; 1 exclusion; "
        "content above 131072 bytes passes"
    )


def rule_set(directory: Path) -> Path:
    (directory / "rules").mkdir()
    (directory / "crs-setup.conf").write_text("# nothing\n")
    (directory / "rules/a.conf").write_text(
        '# "id:99,phase:1"\nSecRule ARGS "@rx a" \\\n    "id:942100,\\\n    tag:\'paranoia-level/2\'"\n'
        "SecAction \"phase:1,id:'942110',pass\"\nSecAction \"id:7,tag:'paranoia-level/4'\"\n"
    )
    return directory


def test_exclusions_become_directives_of_the_library(tmp_path: Path) -> None:
    exclusions = (
        Exclusion(rules=("942100-942199", "7"), variables=("ARGS:a",)),
        Exclusion(when="path:/b", rules=("942000-942999",), variables=("ARGS:b", "ARGS:c")),
        Exclusion(rules=("1-5",), tags=("attack-xss",)),
        Exclusion(when="path:/d", tags=("attack-sqli",)),
    )
    made = rule_text(Firewall(rule_set=str(rule_set(tmp_path)), exclusions=exclusions))
    lines = made.text.split("\n")
    assert [line for line in lines if line.startswith(("SecRuleUpdate", "SecRuleRemove"))] == [
        'SecRuleUpdateTargetById 942100 "!ARGS:a"',
        'SecRuleUpdateTargetById 942110 "!ARGS:a"',
        'SecRuleUpdateTargetById 7 "!ARGS:a"',
        "SecRuleRemoveById 1-5",
        'SecRuleRemoveByTag "attack-xss"',
    ]
    conditional = [line for line in lines if '"@contains ,' in line and ",D," not in line]
    assert [(line.split(" ")[3].split('"')[0], line.rpartition("ctl:")[2][:-1]) for line in conditional] == [
        (",1,", "ruleRemoveTargetById=942100;ARGS:b"),
        (",1,", "ruleRemoveTargetById=942110;ARGS:b"),
        (",1,", "ruleRemoveTargetById=942100;ARGS:c"),
        (",1,", "ruleRemoveTargetById=942110;ARGS:c"),
        (",3,", "ruleRemoveByTag=attack-sqli"),
    ]
    assert lines.index("Include {setup}/crs-setup.conf") < lines.index("Include {rules}/a.conf")
    assert made.links["rules"] == str(tmp_path / "rules")


def test_numbers_and_levels_are_read_from_the_files(tmp_path: Path) -> None:
    rules = str(rule_set(tmp_path) / "rules")
    assert ids_in(rules) == {942100, 942110, 7}
    assert levels_in(rules) == {942100: 2, 7: 4}


def test_no_rule_set_is_told() -> None:
    with pytest.raises(ValueError, match="there are no rules in /nowhere/rules; install modsecurity-crs"):
        rule_text(Firewall(rule_set="/nowhere"))


@pytest.mark.parametrize(
    ("detects", "exclusions", "flags"),
    [(False, [], "1-2f"), (True, [], "1-2f,D,"), (False, [0, 12], "1-2f,0,12,"), (True, [3], "1-2f,D,3,")],
)
def test_the_library_knows_a_request_by_its_name(detects: bool, exclusions: list[int], flags: str) -> None:
    assert flags_for("1-2f", detects=detects, exclusions=exclusions) == flags
