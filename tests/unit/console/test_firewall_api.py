"""The firewall in the API: what matched, told from the journal, and what may be tried by whom."""

from __future__ import annotations

from tests.support import firewall_records
from tests.support.console import Console


async def test_what_matched_is_told_from_the_journal(console: Console) -> None:
    console.instance.tables = firewall_records.TABLES
    await console.record(*firewall_records.some())
    told = (await console.control.get("/firewall")).json
    assert [(row["id"], row["result"], row["score"]) for row in told["matches"]] == [
        (43, "blocked", 15), (42, "blocked", 15), (41, "noted", 0), (40, "blocked", 5),
    ]  # fmt: skip
    assert told["firewall"]["detection_paranoia"] == 2
    assert {row["rule"]: (row["count"], row["blocked"]) for row in told["top"]}["942200"] == (1, 0)
    assert any("SecRequestBodyInMemoryLimit" in line for line in told["left_out"])
    some = (await console.control.get("/firewall?q=path:/search&limit=1")).json
    assert [row["id"] for row in some["matches"]] == [42]
    one = (await console.control.get("/firewall/43")).json
    assert [rule["where"] for rule in one["rules"]] == ["ARGS:id"] * 3
    for id in ("1", "999", "x"):
        assert (await console.control.get(f"/firewall/{id}")).status == 404
    wrong = await console.control.get("/firewall?q=paht:/x")
    assert (wrong.status, wrong.json["at"]["position"]) == (422, 0)


async def test_an_instance_without_a_firewall_says_so(console: Console) -> None:
    told = (await console.control.get("/firewall")).json
    assert (told["firewall"], told["matches"], told["is_recorded"]) == (None, [], True)


async def test_a37_rules_of_another_directory_are_tried_by_admins_only(console: Console) -> None:
    console.instance.tables = firewall_records.TABLES
    wanted = {"rule_set": "/nowhere"}
    for role, status in (("viewer", 403), ("editor", 403), ("admin", 422)):
        answer = await (await console.page(role)).ask("POST", "/firewall/try", wanted)
        assert answer.status == status, role
    wrong = await console.control.post("/firewall/try", {"exclude": ["all"]})
    assert wrong.status == 422
    assert "'all' is not the number of a rule" in wrong.json["errors"][0]
