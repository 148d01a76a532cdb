"""When certificates are ordered, and what becomes of one that cannot be had."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.certificates import CertificateAuthority

from interpose.config.acme import AcmeService, files_of
from interpose.config.acme_hosts import all_hosts
from interpose.config.load import ConfigError, config_of
from interpose.config.renewal import renew_at, retry_in_s
from interpose.storage.acme_files import AcmeFiles

START = datetime(2030, 1, 1, tzinfo=UTC)


def config(directory: Path, hosts: tuple[str, ...] = ("one.test",), **tls: Any) -> Any:
    return config_of(
        {
            "listener": [
                {"address": "127.0.0.1:0", "role": "gateway", "redirect_to_https": "308"},
                {
                    "name": "secure",
                    "address": "127.0.0.1:0",
                    "role": "gateway",
                    "tls": {"acme": True, "acme_hosts": list(hosts), **tls},
                },
            ],
            "route": [{"hosts": ["a.test", "*.b.test", "192.0.2.1"], "answer": {"text": "ok"}}],
            "acme": {"agree_terms": True, "dir": str(directory)},
        }
    )


@pytest.mark.parametrize(
    ("days", "random", "left_days"),
    [(90, 0.0, 30.0), (90, 1.0, 33.0), (6, 0.0, 2.0), (6, 0.5, 2.1), (398, 0.0, 132.667)],
)
def test_a_certificate_is_renewed_when_a_third_of_its_lifetime_is_left(
    days: int, random: float, left_days: float
) -> None:
    ends = START + timedelta(days=days)
    assert (ends - renew_at(START, ends, random)) / timedelta(days=1) == pytest.approx(left_days, abs=0.001)


@pytest.mark.parametrize(
    ("failures", "random", "seconds"),
    [(1, 0.0, 60), (1, 1.0, 30), (2, 0.0, 120), (5, 0.0, 960), (11, 0.0, 61440), (12, 0.0, 86400), (9999, 0.0, 86400)],
)
def test_a_failure_is_tried_again_later_and_later(failures: int, random: float, seconds: float) -> None:
    assert retry_in_s(failures, random) == seconds


def test_hosts_are_those_named_else_those_of_routes(tmp_path: Path) -> None:
    assert all_hosts(config(tmp_path, ("x.test", "y.test"))) == ["x.test", "y.test"]
    assert all_hosts(config(tmp_path, ())) == ["a.test"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"acme": None}, "listener[2].tls.acme"),
        ({"acme": {"agree_terms": False}}, "acme.agree_terms"),
        ({"route": [{"hosts": ["*.b.test"], "answer": {}}]}, "listener[2].tls.acme"),
        ({"tls": {"acme": True, "acme_hosts": ["*.b.test"]}}, "listener[2].tls.acme_hosts[1]"),
        ({"tls": {"acme": True, "acme_hosts": ["192.0.2.1"]}}, "listener[2].tls.acme_hosts[1]"),
        ({"tls": {"development": True, "acme_hosts": ["b.test"]}}, "listener[2].tls.acme_hosts"),
        ({"plain": None}, "acme"),
    ],
)
def test_what_cannot_succeed_is_refused(change: dict[str, Any], where: str) -> None:
    plain = {"address": "127.0.0.1:0", "role": "gateway"}
    tables: dict[str, Any] = {
        "listener": [plain, {"address": "127.0.0.1:0", "role": "gateway", "tls": change.get("tls", {"acme": True})}],
        "route": change.get("route", [{"hosts": ["a.test"], "answer": {}}]),
        "acme": change.get("acme", {"agree_terms": True}),
    }
    if "plain" in change:
        tables["listener"][0] = {**plain, "tls": {"development": True}}
    with pytest.raises(ConfigError) as caught:
        config_of({key: value for key, value in tables.items() if value is not None})
    assert where in [problem.where for problem in caught.value.problems]


class Signer:
    """An authority that signs whatever it is asked for, as long as it is willing."""

    def __init__(self, directory: Path, now: Callable[[], datetime]) -> None:
        self._now = now
        self._authority = CertificateAuthority(directory)
        self.is_willing = True
        self.asked: list[str] = []

    def __call__(self, name: str) -> bytes:
        self.asked.append(name)
        if not self.is_willing:
            raise ValueError(f"No certificate for {name}: not today.")
        key = ec.generate_private_key(ec.SECP256R1())
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem + self._authority.sign(request, timedelta(days=90), self._now())


class World:
    """A service, its authority, and a clock that is set by hand."""

    def __init__(self, directory: Path, *hosts: str) -> None:
        self.now = datetime.now(UTC)
        self.signer = Signer(directory, lambda: self.now)
        self.config = config(directory / "acme", hosts or ("one.test",))
        self.files = files_of(self.config)
        self.files.make()
        self.service = self.another()

    def another(self) -> AcmeService:
        return AcmeService(self.config, self.signer, lambda: self.now)

    def after(self, **time: float) -> list[str]:
        """What is ordered when so much time has passed."""
        self.now += timedelta(**time)
        before = len(self.signer.asked)
        self.service.look()
        return self.signer.asked[before:]


def test_a_certificate_is_ordered_once_and_renewed_in_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.after() == ["one.test"]
    first = world.files.certificate_of("one.test")
    assert world.after(seconds=5) == []
    assert world.after(days=56) == []
    assert world.after(days=4, minutes=1) == ["one.test"]
    assert world.files.certificate_of("one.test") not in (b"", first)
    [told] = world.service.told()
    assert (told.host, told.failures, told.problem) == ("one.test", 0, "")


def test_f19_a_failure_keeps_what_is_there_and_is_tried_again_with_longer_and_longer_pauses(tmp_path: Path) -> None:
    world = World(tmp_path, "one.test", "two.test")
    assert world.after() == ["one.test", "two.test"]
    kept = world.files.certificate_of("one.test")
    world.signer.is_willing = False
    assert sorted(world.after(days=61)) == ["one.test", "two.test"]
    assert world.files.certificate_of("one.test") == kept
    assert world.after(seconds=29) == []
    assert world.after(seconds=32) == ["one.test", "two.test"]
    assert world.after(seconds=59) == []
    assert world.after(seconds=62) == ["one.test", "two.test"]
    [one, _] = world.service.told()
    assert (one.failures, one.problem) == (3, "No certificate for one.test: not today.")
    world.signer.is_willing = True
    assert world.after(days=1) == ["one.test", "two.test"]
    assert [told.failures for told in world.service.told()] == [0, 0]


@pytest.mark.parametrize("error", [RuntimeError("who knows"), KeyError()])
def test_f19_what_nobody_had_thought_of_is_not_tried_again_at_once(tmp_path: Path, error: Exception) -> None:
    """An authority soon hears no more from who asks it every few seconds; and the next host has its turn."""
    world = World(tmp_path, "one.test", "two.test")
    asked: list[str] = []

    def order(name: str) -> bytes:
        asked.append(name)
        if name == "one.test":
            raise error
        return world.signer(name)

    service = AcmeService(world.config, order, lambda: world.now)
    service.look()
    service.look()
    assert asked == ["one.test", "two.test"]
    [one, two] = service.told()
    assert (one.failures, bool(one.problem), two.failures) == (1, True, 0)
    world.now += timedelta(seconds=61)
    service.look()
    assert asked == ["one.test", "two.test", "one.test"]


def test_what_another_machine_has_ordered_meanwhile_is_not_ordered_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    other = world.another()
    world.after()
    other.look()
    assert world.signer.asked == ["one.test"]
    world.now += timedelta(days=61)
    with world.files.owned():  # it is at it
        world.service.look()
    assert world.signer.asked == ["one.test"]
    other.look()
    world.service.look()
    assert world.signer.asked == ["one.test", "one.test"]


def test_what_is_kept_is_for_the_owner_only(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.after()
    world.files.keep_account(b"{}")
    world.files.publish("0123456789abcdef", b"answer")
    modes = {path.name: stat.S_IMODE(os.stat(path).st_mode) for path in (tmp_path / "acme").rglob("*")}
    assert modes == {
        "account.json": 0o600,
        "challenges": 0o700,
        "0123456789abcdef": 0o600,
        "certificates": 0o700,
        "one.test.pem": 0o600,
    }
    assert stat.S_IMODE(os.stat(tmp_path / "acme").st_mode) == 0o700


@pytest.mark.parametrize(
    "token", ["", "short", "../certificates/one", "0123456789abcde/", "0123456789abcdef.", "x" * 129]
)
def test_a38_no_token_leads_anywhere_else(tmp_path: Path, token: str) -> None:
    files = AcmeFiles(tmp_path)
    files.make()
    assert files.answer_to(token) == b""
    with pytest.raises(ValueError, match="token is none"):
        files.publish(token, b"answer")


def test_a38_a_link_among_the_answers_is_not_followed(tmp_path: Path) -> None:
    files = AcmeFiles(tmp_path)
    files.make()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "challenges" / "0123456789abcdef").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        files.answer_to("0123456789abcdef")
