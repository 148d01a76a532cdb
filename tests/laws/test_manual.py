"""Every option has a default, a unit in its name and a row in the manual (invariant 7)."""

import runpy
from pathlib import Path

import msgspec

from interpose.config.convert import type_of
from interpose.config.model import Config

ROOT = Path(__file__).resolve().parents[2]
# Texts, choices, lists, and numbers that count things, have no unit.
COUNTS = (
    "blocking_paranoia",  # levels of the Core Rule Set, by its own name for them
    "detection_paranoia",
    "inbound_threshold",  # sums of its scores
    "outbound_threshold",
    "processes",
    "score",
    "burst",
    "bytes_per_",
    "expected_nodes",
    "workers",
    "port",
    "ports",
    "max_",
    "status",
    "tries",
    "retries",
    "probability",
    "weight",
    "layer_weight",
    "share",
    "holdout",
    "alpha",
    "tolerance",
    "quantile",
    "planned_units",
    "min_",
    "eject_",
    "rise",
    "fall",
)


def structs(type_: msgspec.inspect.Type) -> dict[type, msgspec.inspect.StructType]:
    """Every struct that is reached from a type."""
    match type_:
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            found = {cls: type_}
            for field in fields:
                found |= structs(field.type)
            return found
        case msgspec.inspect.VarTupleType(item_type=inner):
            return structs(inner)
        case msgspec.inspect.UnionType(types=types):
            return {cls: struct for inner in types for cls, struct in structs(inner).items()}
    return {}


def test_the_pages_of_options_are_up_to_date() -> None:
    manual = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    for name, text in manual["pages"]().items():
        assert (ROOT / "docs" / name).read_text("utf-8") == text, "run script/manual"


def test_every_number_says_its_unit_or_counts_something() -> None:
    numbers = [
        f"{cls.__name__}.{field.name}"
        for cls, struct in structs(type_of(Config)).items()
        for field in struct.fields
        if isinstance(field.type, msgspec.inspect.IntType | msgspec.inspect.FloatType)
        and not field.name.endswith(
            ("_s", "_bytes", "_level", "_port", "_share")
        )  # levels are places in a scale, shares of 1
        and not field.name.startswith(COUNTS)
    ]
    assert numbers == []


def test_only_what_nobody_can_guess_has_no_default() -> None:
    required = {
        f"{cls.__name__}.{field.name}"
        for cls, struct in structs(type_of(Config)).items()
        for field in struct.fields
        if field.required
    }
    assert required == {
        "AccessRule.action",
        "BlockList.format",
        "BlockList.name",
        "FirewallRule.when",
        "HoldRule.when",
        "LimitRule.name",
        "LimitRedis.url",
        "Listener.address",
        "Listener.role",
        "Upstream.name",
        "UpstreamProxy.name",
        "UpstreamProxy.servers",
        "UpstreamServer.address",
        "ScriptOptions.file",
        "TlsCertificate.certificate",
        "TlsCertificate.key",
        "AuthenticationOptions.name",
        "RequiredClaim.claim",
        "InterceptionRule.when",
        "InterceptionRule.action",
        "ClientCertificate.hosts",
        "ClientCertificate.certificate",
        "ClientCertificate.key",
        "Cache.name",
        "Fault.kind",
        "CorsOptions.origins",
        "ErrorPage.file",
        "ErrorPage.status",
        "FieldEdit.name",
        "FilesOptions.root",
        "Experiment.name",
        "Factor.name",
        "Level.name",
        "Listed.levels",
        "Goal.name",
        "Guard.metric",
        "Redirect.to",
    }


def test_a_misspelt_key_is_refused_everywhere() -> None:
    assert [cls for cls, struct in structs(type_of(Config)).items() if not struct.forbid_unknown_fields] == []
