"""F11: what the resolver remembers, for how long, and what it does when names cannot be looked up."""

import asyncio
from ipaddress import ip_address

import pytest

from interpose.core.failure import Failure, Side
from interpose.net.resolve import MAX_ADDRESSES, Answer, NameUnknown, ResolveOptions, Resolver


class Names:
    """A `Lookup` and a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.answers: dict[str, Answer | Failure] = {}
        self.gate: asyncio.Event | None = None

    def clock(self) -> float:
        return self.now

    async def __call__(self, host: str) -> Answer:
        self.asked.append(host)
        if self.gate is not None and not host.startswith("quick"):
            await self.gate.wait()
        answer = self.answers[host]
        if isinstance(answer, Failure):
            raise answer
        return answer

    def resolver(self, **options: float) -> Resolver:
        return Resolver(ResolveOptions(**options), lookup=self, clock=self.clock)  # type: ignore[arg-type]


@pytest.fixture
def names() -> Names:
    return Names()


def answer(address: str, ttl_s: float = 60.0) -> Answer:
    return Answer((ip_address(address),), ttl_s)


TIMEOUT = Failure("dns_timeout", Side.UPSTREAM, "No name server answered.")
BROKEN = Failure("dns_error", Side.UPSTREAM, "The name server failed.")
NO_SUCH = NameUnknown("a.test")


async def looked_up(resolver: Resolver, host: str) -> list[str]:
    return [str(address) for address in await resolver(host)]


@pytest.mark.parametrize(
    ("ttl_s", "asked_again_after_s"), [(60.0, 60.0), (0.0, 1.0), (0.5, 1.0), (86400.0, 3600.0), (1.0, 1.0)]
)
async def test_f11_an_answer_is_kept_for_its_ttl_between_a_second_and_an_hour(
    names: Names, ttl_s: float, asked_again_after_s: float
) -> None:
    resolver = names.resolver()
    names.answers["a.test"] = answer("192.0.2.1", ttl_s)
    assert await looked_up(resolver, "a.test") == ["192.0.2.1"]
    names.now += asked_again_after_s - 0.01
    assert await looked_up(resolver, "a.test") == ["192.0.2.1"]
    assert names.asked == ["a.test"]
    names.now += 0.02
    names.answers["a.test"] = answer("192.0.2.2", ttl_s)
    assert await looked_up(resolver, "a.test") == ["192.0.2.2"]


async def test_f11_a_refusal_is_kept_for_five_seconds(names: Names) -> None:
    resolver = names.resolver()
    names.answers["a.test"] = NO_SUCH
    for _ in range(3):
        with pytest.raises(Failure, match="has no address") as caught:
            await resolver("a.test")
        assert caught.value.kind == "dns_error"
    assert names.asked == ["a.test"]
    names.now += 5.01
    names.answers["a.test"] = answer("192.0.2.1")
    assert await looked_up(resolver, "a.test") == ["192.0.2.1"]


@pytest.mark.parametrize("trouble", [TIMEOUT, BROKEN], ids=["silence", "SERVFAIL"])
async def test_f11_an_expired_answer_serves_five_minutes_in_trouble(names: Names, trouble: Failure) -> None:
    resolver = names.resolver()
    names.answers["a.test"] = answer("192.0.2.1", 10)
    await resolver("a.test")
    names.answers["a.test"] = trouble
    names.now += 11
    assert await looked_up(resolver, "a.test") == ["192.0.2.1"]
    assert await looked_up(resolver, "a.test") == ["192.0.2.1"]
    assert len(names.asked) == 2  # not asked again for five seconds
    names.now += 280
    assert await looked_up(resolver, "a.test") == ["192.0.2.1"]
    names.now += 20
    with pytest.raises(Failure, match=trouble.detail):
        await resolver("a.test")


async def test_f11_an_expired_answer_serves_at_once_while_nobody_answers(names: Names) -> None:
    resolver = names.resolver()
    names.answers["a.test"] = answer("192.0.2.1", 10)
    await resolver("a.test")
    names.answers["a.test"] = TIMEOUT
    names.now += 11
    assert await looked_up(resolver, "a.test") == ["192.0.2.1"]
    names.now += 6
    names.gate = asyncio.Event()
    names.answers["a.test"] = answer("192.0.2.2", 10)
    assert await looked_up(resolver, "a.test") == ["192.0.2.1"]  # the question is still on its way
    assert await looked_up(resolver, "a.test") == ["192.0.2.1"]
    names.gate.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(names.asked) == 3
    assert await looked_up(resolver, "a.test") == ["192.0.2.2"]


async def test_f11_a_name_that_is_gone_is_gone_at_once(names: Names) -> None:
    resolver = names.resolver()
    names.answers["a.test"] = answer("192.0.2.1", 10)
    await resolver("a.test")
    names.answers["a.test"] = NO_SUCH
    names.now += 11
    with pytest.raises(Failure, match="has no address"):
        await resolver("a.test")


async def test_f11_many_who_wait_for_a_name_ask_once(names: Names) -> None:
    resolver = names.resolver()
    names.gate = asyncio.Event()
    names.answers["a.test"] = answer("192.0.2.1")
    waiting = [asyncio.create_task(looked_up(resolver, "a.test")) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # who asked first leaves
    await asyncio.sleep(0)
    names.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [["192.0.2.1"]] * 49
    assert names.asked == ["a.test"]


async def test_f11_a_hanging_name_keeps_no_other_waiting(names: Names) -> None:
    resolver = names.resolver()
    names.gate = asyncio.Event()
    names.answers["slow.test"] = answer("192.0.2.1")
    slow = asyncio.create_task(looked_up(resolver, "slow.test"))
    await asyncio.sleep(0)
    names.answers["quick.test"] = answer("192.0.2.2")
    assert await looked_up(resolver, "quick.test") == ["192.0.2.2"]
    assert not slow.done()
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await slow


async def test_the_memory_is_bounded(names: Names) -> None:
    resolver = names.resolver(max_names=3)
    for number in range(10):
        names.answers[f"n{number}.test"] = answer("192.0.2.1")
        await resolver(f"n{number}.test")
    names.asked.clear()
    for number in (9, 8, 7):
        await resolver(f"n{number}.test")
    assert names.asked == []
    await resolver("n0.test")
    assert names.asked == ["n0.test"]
    many = Answer(tuple(ip_address(f"192.0.2.{n % 256}") for n in range(1000)), 60)
    names.answers["many.test"] = many
    assert len(await resolver("many.test")) == MAX_ADDRESSES


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("localhost", ["127.0.0.1", "::1"]),
        ("LOCALHOST.", ["127.0.0.1", "::1"]),
        ("app.localhost", ["127.0.0.1", "::1"]),
        ("192.0.2.1", ["192.0.2.1"]),
        ("192.0.2.1.", ["192.0.2.1"]),
        ("::ffff:127.0.0.1", ["::ffff:7f00:1"]),
        ("A.Test.", ["192.0.2.9"]),
    ],
)
async def test_spellings_come_down_to_one(names: Names, host: str, addresses: list[str]) -> None:
    names.answers["a.test"] = answer("192.0.2.9")
    assert await looked_up(names.resolver(), host) == addresses
    assert names.asked in ([], ["a.test"])


@pytest.mark.parametrize(
    "host", ["0x7f000001", "2130706433", "127.1", "0177.0.0.1", "0x7f.1", "127.0.0.1..", "017700000001", "127.0.0.0x1"]
)
async def test_a20_numbers_in_other_forms_are_refused(names: Names, host: str) -> None:
    with pytest.raises(Failure) as caught:
        await names.resolver()(host)
    assert caught.value.kind in ("destination_ip_prohibited", "dns_error")
    assert names.asked == []


@pytest.mark.parametrize(
    "host", ["", ".", "a b", "a\0b", "a..b", "bücher.test", "127。0。0。1", "%6c", "fe80::1%lo", "a" * 300]
)
async def test_what_is_no_name_is_not_asked_for(names: Names, host: str) -> None:
    with pytest.raises(Failure) as caught:
        await names.resolver()(host)
    assert caught.value.kind == "dns_error"
    assert names.asked == []
