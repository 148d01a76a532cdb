from collections.abc import Callable
from typing import Any

import pytest

from interpose.engine.listening_sockets import ListeningSockets, assign
from interpose.engine.plan import ListenerPlan

# Two TCP listeners with a socket for each of three workers, and a Unix listener.
WEB = [(1, 0), (2, 1), (3, 2)]
ALSO = [(4, 0), (5, 1), (6, 2)]
UNIX = [(7, None)]
GROUPS = [WEB, ALSO, UNIX]


@pytest.mark.parametrize(
    ("sound", "stalled", "assigned"),
    [
        pytest.param({0, 1, 2}, set(), {0: {1, 4, 7}, 1: {2, 5, 7}, 2: {3, 6, 7}}, id="everybody works"),
        pytest.param({0, 2}, set(), {0: {1, 2, 4, 5, 7}, 2: {3, 6, 7}}, id="one is dead"),
        pytest.param({1}, set(), {1: {1, 2, 3, 4, 5, 6, 7}}, id="one is left"),
        pytest.param(set(), set(), {}, id="nobody is left"),
        pytest.param(
            {0, 1}, {2}, {0: {1, 3, 4, 6, 7}, 1: {2, 5, 7}, 2: {3, 6, 7}}, id="one is stalled and keeps its own"
        ),
        pytest.param(set(), {0, 1}, {0: {1, 4, 7}, 1: {2, 5, 7}}, id="all that are left are stalled"),
        pytest.param({0, 1, 2, 3}, set(), {0: {1, 4, 7}, 1: {2, 5, 7}, 2: {3, 6, 7}, 3: {7}}, id="one has no socket"),
    ],
)
def test_f4_every_socket_is_accepted_from(sound: set[int], stalled: set[int], assigned: dict[int, set[int]]) -> None:
    assert assign(GROUPS, sound, stalled) == assigned


def test_sockets_without_a_worker_of_their_own_are_spread() -> None:
    eight = [[(number, number) for number in range(8)]]
    assigned = assign(eight, {0, 1, 2})
    assert sorted(len(numbers) for numbers in assigned.values()) == [2, 3, 3]
    assert set().union(*assigned.values()) == set(range(8))


class FakeSocket:
    def __init__(self, address: str) -> None:
        self.address = address
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class FakeNet:
    """Binds what it is asked for, except what is taken."""

    def __init__(self) -> None:
        self.bound: list[FakeSocket] = []
        self.calls: list[tuple[str, bool]] = []
        self.taken: set[str] = set()
        self.most = 1000
        self.ports = iter(range(50001, 60000))

    def bind(self, address: str, *, reuse_port: bool = False, probe: bool = True) -> Any:
        self.calls.append((address, probe))
        if address in self.taken or len(self.open) >= self.most:
            raise ValueError(f"{address} is taken.")
        if address.endswith(":0"):
            address = f"{address[:-1]}{next(self.ports)}"
        self.bound.append(FakeSocket(address))
        return self.bound[-1]

    @property
    def open(self) -> list[FakeSocket]:
        return [sock for sock in self.bound if not sock.is_closed]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> FakeNet:
    address_of: Callable[[FakeSocket], str] = lambda sock: sock.address  # noqa: E731
    monkeypatch.setattr("interpose.engine.listening_sockets.address_of", address_of)
    return FakeNet()


def listener(name: str, address: str) -> ListenerPlan:
    return ListenerPlan(name=name, role="gateway", address=address)


def test_a_listener_has_a_socket_for_each_worker_and_only_the_first_is_probed(net: FakeNet) -> None:
    sockets = ListeningSockets(net.bind)
    sockets.swap(sockets.stage([listener("web", "127.0.0.1:0"), listener("local", "unix:/x")], 3))
    assert net.calls == [
        ("127.0.0.1:0", True),
        ("127.0.0.1:50001", False),
        ("127.0.0.1:50001", False),
        ("unix:/x", True),
    ]
    assert [(sock.number, sock.home) for sock in sockets] == [(1, 0), (2, 1), (3, 2), (4, None)]
    assert [group.url for group in sockets.groups.values()] == ["http://127.0.0.1:50001", "unix:/x"]


def test_f16_sockets_live_on_through_a_reload_even_under_another_name(net: FakeNet) -> None:
    sockets = ListeningSockets(net.bind)
    sockets.swap(sockets.stage([listener("web", "127.0.0.1:80"), listener("old", "127.0.0.1:81")], 2))
    kept = [sock.number for sock in sockets][:2]
    gone = sockets.swap(sockets.stage([listener("site", "127.0.0.1:80"), listener("new", "127.0.0.1:82")], 2))
    sockets.extend(2)
    assert [group.listener.name for group in gone] == ["old"]
    assert len(net.open) == 6
    sockets.discard(gone)
    assert sorted(sock.address for sock in net.open) == ["127.0.0.1:80"] * 2 + ["127.0.0.1:82"] * 2
    assert [sock.number for sock in sockets][:2] == kept
    assert [group.listener.name for group in sockets.groups.values()] == ["site", "new"]


def test_f15_a_port_that_is_taken_leaves_everything_as_it_was_and_every_one_is_named(net: FakeNet) -> None:
    sockets = ListeningSockets(net.bind)
    sockets.swap(sockets.stage([listener("web", "127.0.0.1:80")], 2))
    net.taken = {"127.0.0.1:81", "127.0.0.1:83"}
    wanted = [listener(name, f"127.0.0.1:8{number}") for number, name in enumerate("abcd")]
    with pytest.raises(ValueError) as caught:
        sockets.stage(wanted, 2)
    assert str(caught.value) == ("listener 'b': 127.0.0.1:81 is taken.\nlistener 'd': 127.0.0.1:83 is taken.")
    assert [sock.address for sock in net.open] == ["127.0.0.1:80"] * 2


def test_more_workers_get_sockets_and_fewer_leave_theirs_open(net: FakeNet) -> None:
    sockets = ListeningSockets(net.bind)
    plan = [listener("web", "127.0.0.1:0"), listener("local", "unix:/x")]
    sockets.swap(sockets.stage(plan, 1))
    for workers in (3, 2):
        sockets.swap(sockets.stage(plan, workers))
        sockets.extend(workers)
        assert [(sock.number, sock.home) for sock in sockets] == [(1, 0), (3, 1), (4, 2), (2, None)]
    assert len(net.open) == 4


def test_sockets_that_cannot_be_had_for_more_workers_are_done_without(
    net: FakeNet, caplog: pytest.LogCaptureFixture
) -> None:
    sockets = ListeningSockets(net.bind)
    plan = [listener("web", "127.0.0.1:80")]
    sockets.swap(sockets.stage(plan, 2))
    net.most = 3
    sockets.swap(sockets.stage(plan, 4))
    sockets.extend(4)
    assert len(net.open) == 2
    assert "fewer sockets than workers" in caplog.text


def test_f16_a_listener_that_widens_its_address_is_not_in_its_own_way(net: FakeNet) -> None:
    sockets = ListeningSockets(net.bind)
    sockets.swap(sockets.stage([listener("web", "127.0.0.1:80")], 1))
    sockets.discard(sockets.swap(sockets.stage([listener("web", "0.0.0.0:80")], 1)))
    assert net.calls == [("127.0.0.1:80", True), ("0.0.0.0:80", False)]
    assert [sock.address for sock in net.open] == ["0.0.0.0:80"]


def test_two_listeners_on_port_zero_are_told_apart_by_name(net: FakeNet) -> None:
    sockets = ListeningSockets(net.bind)
    plan = [listener("a", "127.0.0.1:0"), listener("b", "127.0.0.1:0")]
    sockets.swap(sockets.stage(plan, 1))
    assert [group.address for group in sockets.groups.values()] == ["127.0.0.1:50001", "127.0.0.1:50002"]
