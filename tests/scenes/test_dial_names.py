"""Dialling names: what A20 keeps out, and what happens when name servers misbehave (F11)."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.dialling import echoed, failed, origins, resolves_to
from tests.support.event_loops import LOOPS, Scene, run_scene, settle
from tests.support.name_server import NXDOMAIN as NXDOMAIN_STATUS
from tests.support.name_server import SERVFAIL as SERVFAIL_STATUS
from tests.support.name_server import A, NameServer, Reply

from interpose.core.failure import Failure
from interpose.core.target import Origin
from interpose.net.address import parse_address
from interpose.net.dial import Dialler, DialOptions
from interpose.net.policy import AddressPolicy
from interpose.net.resolve import ResolveOptions, Resolver, SystemLookup


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    return lambda scene: run_scene(request.param, scene)


def test_a20_an_origin_behind_a_name_that_changes_is_never_reached(on_loop: Callable[[Scene], None]) -> None:
    """DNS rebinding: TTL 0, and each question is answered with the other address. 127.0.0.2 stands for the world."""
    addresses = ["127.0.0.2", "127.0.0.1"]

    def answer(name: str, kind: int) -> Reply:
        if kind != A:
            return Reply()
        addresses.reverse()
        return Reply((addresses[0],), ttl=0)

    async def scene() -> None:
        now = 0.0
        async with NameServer(answer) as server, origins() as some:
            port = await some.listen("127.0.0.1")
            await some.listen("127.0.0.2", port)
            policy = AddressPolicy(loopback_only=False, allow=["127.0.0.2/32"])
            lookup = SystemLookup(ResolveOptions(servers=(server.address,)))
            dial = Dialler(Resolver(lookup=lookup, clock=lambda: now), policy=policy)
            reached = refused = 0
            for _ in range(40):
                now += 2  # past the shortest time that answers are kept
                try:
                    stream = await dial(Origin("http", "rebind.test", port))
                except Failure as failure:
                    refused += failure.kind == "destination_ip_prohibited"
                else:
                    reached += await echoed(stream) == b"hello"
            assert (reached, refused) == (20, 20)
            assert server.asked("rebind.test") == 40
            assert some.connections == {"127.0.0.1": 0, "127.0.0.2": 20}
            await lookup.close()

    on_loop(scene)


def test_a20_of_several_addresses_only_the_allowed_are_tried(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            await some.listen("127.0.0.2", port)
            policy = AddressPolicy(loopback_only=False, allow=["127.0.0.2/32"])
            for addresses in (("127.0.0.1", "127.0.0.2"), ("::ffff:127.0.0.1", "::1", "::ffff:127.0.0.2")):
                dial = Dialler(resolves_to(*addresses), policy=policy)
                stream = await dial(Origin("http", "both.test", port))
                assert stream.info.peer.host == "127.0.0.2"
                stream.close()
            dial = Dialler(resolves_to("127.0.0.1", "169.254.169.254"), policy=policy)
            failure = await failed(dial, Origin("http", "evil.test", port))
            assert (failure.kind, failure.side, failure.status) == ("destination_ip_prohibited", "internal", 403)
            assert failure.detail == (
                f"http://evil.test:{port} is refused: "
                "127.0.0.1 is not a public address (loopback); allow_upstream would allow it."
            )
            assert some.connections["127.0.0.1"] == 0

    on_loop(scene)


def test_a20_a_configured_origin_is_never_refused(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            dial = Dialler(resolves_to("127.0.0.1"), policy=AddressPolicy(loopback_only=False))
            assert await echoed(await dial(Origin("http", "x", port), configured=True)) == b"hello"

    on_loop(scene)


SPELLINGS = """
    127.0.0.1 127.1 127.0.1 127.0.0.01 0177.0.0.1 0177.1 0x7f.0.0.1 0x7f.1 0x7f000001 0X7F000001 2130706433 017700000001
    127.0.0.1. localhost LOCALHOST localhost. a.localhost ::1 0:0:0:0:0:0:0:1 0000::0001 ::ffff:127.0.0.1 ::ffff:7f00:1
    0:0:0:0:0:ffff:7f00:0001 ::127.0.0.1 ::7f00:1 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::7f00:1
    64:ff9b:1::7f00:1 2002:7f00:1:: 2002:7f00:0001::1 2001:0:7f00:1::fefe:fefe 2001:0:102:304:0:0:80ff:fffe
    fe80::5efe:127.0.0.1 2606:4700::5efe:127.0.0.1 127.255.255.254 127.0.0.53 0.0.0.0 0 0x0 00 0.0
    :: ::ffff:0.0.0.0 ::1%lo
    169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376 ::ffff:169.254.169.254 fd00:ec2::254 [::1] 127.0.0.1:80
    10.0.0.1 012.0.0.1 172.16.0.1 192.168.0.1 192.168.257 100.64.0.1 100.100.100.200 fe80::1 fc00::1 224.0.0.1
    255.255.255.255 198.18.0.1
"""


def test_a20_sixty_spellings_reach_nothing_inside(on_loop: Callable[[Scene], None]) -> None:
    hosts = SPELLINGS.split()
    assert len(hosts) >= 60

    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            await some.listen("::1", port)
            resolver = Resolver(ResolveOptions(servers=("127.0.0.1:1",), timeout_s=0.1, tries=1))
            dial = Dialler(resolver, DialOptions(connect_timeout_s=1), policy=AddressPolicy(loopback_only=False))
            kinds = {host: (await failed(dial, Origin("http", host, port))).kind for host in hosts}
            not_names = {"::1%lo", "[::1]", "127.0.0.1:80"}
            assert {host for host, kind in kinds.items() if kind != "destination_ip_prohibited"} == not_names
            assert {kinds[host] for host in not_names} == {"dns_error"}
            assert some.connections == {"127.0.0.1": 0, "::1": 0}
            await resolver.close()

    on_loop(scene)


def test_a22_a23_own_addresses_are_refused_behind_a_name(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            own = [parse_address(f"0.0.0.0:{port}")]
            for policy, kind, status in (
                (AddressPolicy(loopback_only=True, own=own), "proxy_loop_detected", 508),
                (AddressPolicy(loopback_only=True, forbidden=own, own=own), "destination_ip_prohibited", 403),
            ):
                for address in ("127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "::1"):
                    failure = await failed(Dialler(resolves_to(address), policy=policy), Origin("http", "x", port))
                    assert (failure.kind, failure.status) == (kind, status)
            assert some.connections == {"127.0.0.1": 0}

    on_loop(scene)


# --- names ---------------------------------------------------------------------------------------------------------

REPLIES: dict[str, Reply] = {
    "good.test": Reply(("127.0.0.1",)),
    "silent.test": Reply(silent=True),
    "servfail.test": Reply(status=SERVFAIL_STATUS),
    "nxdomain.test": Reply(status=NXDOMAIN_STATUS),
    "empty.test": Reply(),
    "spoofed.test": Reply(("127.0.0.1",), wrong_id=True),
    "truncated.test": Reply(("127.0.0.1",), truncated=True),
    "thousand.test": Reply(tuple(f"127.0.{n // 250}.{n % 250 + 1}" for n in range(1000)), truncated=True),
}


def replies(name: str, kind: int) -> Reply:
    reply = REPLIES.get(name, Reply(("127.0.0.1",)))
    return reply if kind == A or not reply.addresses else Reply()


@pytest.mark.parametrize(
    ("host", "kind", "words"),
    [
        ("silent.test", "dns_timeout", "No name server answered for 'silent.test' within 0.6 s."),
        ("spoofed.test", "dns_timeout", "No name server answered for 'spoofed.test' within 0.6 s."),
        ("servfail.test", "dns_error", "The name 'servfail.test' could not be looked up: "),
        ("nxdomain.test", "dns_error", "The name 'nxdomain.test' has no address."),
        ("empty.test", "dns_error", "The name 'empty.test' has no address."),
    ],
)
def test_f11_a_name_that_cannot_be_looked_up_says_why(
    on_loop: Callable[[Scene], None], host: str, kind: str, words: str
) -> None:
    async def scene() -> None:
        async with NameServer(replies) as server:
            resolver = Resolver(ResolveOptions(servers=(server.address,), timeout_s=0.3, tries=2))
            started = time.monotonic()
            failure = await failed(Dialler(resolver), Origin("http", host, 80))
            assert time.monotonic() - started < 2
            assert failure.kind == kind
            assert failure.detail.startswith(words)
            await resolver.close()

    on_loop(scene)


def test_f11_answers_that_need_tcp_and_answers_without_end_are_used(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with NameServer(replies) as server, origins() as some:
            port = await some.listen("127.0.0.1")
            resolver = Resolver(ResolveOptions(servers=(server.address,)))
            dial = Dialler(resolver)
            for host in ("good.test", "truncated.test", "thousand.test"):
                assert await echoed(await dial(Origin("http", host, port))) == b"hello"
            assert server.tcp_questions > 0
            assert len(await resolver("thousand.test")) == 32
            await resolver.close()

    on_loop(scene)


def test_f11_one_hanging_name_delays_no_other(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with NameServer(replies) as server, origins() as some:
            port = await some.listen("127.0.0.1")
            resolver = Resolver(ResolveOptions(servers=(server.address,), timeout_s=1.0, tries=2))
            dial = Dialler(resolver)
            hanging = [asyncio.create_task(failed(dial, Origin("http", "silent.test", port))) for _ in range(20)]
            await settle(lambda: server.asked("silent.test") > 0)
            times = []
            for number in range(50):
                started = time.monotonic()
                assert await echoed(await dial(Origin("http", f"n{number}.test", port))) == b"hello"
                times.append(time.monotonic() - started)
            assert sorted(times)[-2] < 0.25
            assert not any(task.done() for task in hanging)
            assert {failure.kind for failure in await asyncio.gather(*hanging)} == {"dns_timeout"}
            await resolver.close()

    on_loop(scene)


def test_the_hosts_file_counts(on_loop: Callable[[Scene], None]) -> None:
    """`ip6-localhost` stands in Debian's file; it would otherwise be asked for and not be found."""
    names = [line.partition("#")[0].split() for line in Path("/etc/hosts").read_text().splitlines()]
    entries = {host: words[0] for words in names for host in words[1:] if "localhost" not in host.split(".")}
    if not entries:
        pytest.skip("the hosts file of this machine names nobody but localhost")

    async def scene() -> None:
        async with NameServer(lambda name, kind: Reply(status=NXDOMAIN_STATUS)) as server:
            resolver = Resolver(ResolveOptions(servers=(server.address,)))
            host, address = next(iter(entries.items()))
            assert address in [str(found) for found in await resolver(host)]
            assert server.questions == []
            await resolver.close()

    on_loop(scene)
