"""A20, A22, A23: which addresses may be reached."""

from ipaddress import ip_address

import pytest

from interpose.net.address import SocketAddress
from interpose.net.policy import AddressPolicy, Refusal, faces, is_local, unmapped

NEVER = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "fe80::1", "febf::1", "fd00:ec2::254",
    "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "ff02::1", "100::1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe",
    "::169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:5601:5601",
    "2606:4700::5efe:169.254.169.254", "2606:4700::200:5efe:169.254.169.254", "::ffff:0.0.0.0",
    "::ffff:255.255.255.255", "64:ff9b::224.0.0.1",
]  # fmt: skip

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "::1", "fc00::1", "fdff::1", "fec0::1", "2001:db8::1", "3fff::1", "5f00::1",
    "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1",
    "2001:0:7f00:1::fefe:fefe", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2606:4700::5efe:10.0.0.1",
]  # fmt: skip

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.1", "126.255.255.255",
    "128.0.0.1", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255", "198.17.255.255", "198.20.0.0",
    "223.255.255.255", "2606:4700::1111", "2a00::1", "2001:4860:4860::8888", "2002:101:101::1", "64:ff9b::1.1.1.1",
    "::ffff:1.1.1.1", "fbff::1",
]  # fmt: skip


@pytest.mark.parametrize("address", NEVER)
def test_a20_link_local_metadata_and_multicast_are_never_reached(address: str) -> None:
    for policy in (
        AddressPolicy(loopback_only=False),
        AddressPolicy(loopback_only=True),
        AddressPolicy(loopback_only=True, allow=["0.0.0.0/0", "::/0"]),
    ):
        refusal = policy.refusal(ip_address(address), 80)
        assert refusal is not None
        assert refusal.kind == "destination_ip_prohibited"
        assert "never reached" in refusal.why


@pytest.mark.parametrize("address", PRIVATE)
def test_a20_private_addresses_are_for_loopback_listeners_or_the_listed(address: str) -> None:
    refusal = AddressPolicy(loopback_only=False).refusal(ip_address(address), 80)
    assert refusal is not None
    assert refusal.kind == "destination_ip_prohibited"
    assert "allow_upstream would allow it" in refusal.why
    assert AddressPolicy(loopback_only=True).refusal(ip_address(address), 80) is None
    assert AddressPolicy(loopback_only=False, allow=["0.0.0.0/0", "::/0"]).refusal(ip_address(address), 80) is None


@pytest.mark.parametrize("address", PUBLIC)
def test_a20_public_addresses_are_reached(address: str) -> None:
    assert AddressPolicy(loopback_only=False).refusal(ip_address(address), 80) is None


def test_a20_the_reason_names_the_address_and_what_it_carries() -> None:
    policy = AddressPolicy(loopback_only=False)
    assert policy.refusal(ip_address("10.1.2.3"), 80) == Refusal(
        "destination_ip_prohibited",
        "private",
        "10.1.2.3 is not a public address (private); allow_upstream would allow it.",
    )
    assert policy.refusal(ip_address("2002:7f00:1::"), 80) == Refusal(
        "destination_ip_prohibited",
        "loopback",
        "2002:7f00:1:: (it carries 127.0.0.1) is not a public address (loopback); allow_upstream would allow it.",
    )


def test_a20_a_listed_network_allows_only_itself() -> None:
    policy = AddressPolicy(loopback_only=False, allow=["10.1.0.0/16"])
    assert policy.refusal(ip_address("10.1.255.255"), 80) is None
    assert policy.refusal(ip_address("::ffff:10.1.0.1"), 80) is None
    assert policy.refusal(ip_address("10.2.0.1"), 80) is not None
    assert policy.refusal(ip_address("127.0.0.1"), 80) is not None


def test_a_denied_network_wins() -> None:
    policy = AddressPolicy(loopback_only=True, deny=["10.9.0.0/16"])
    refusal = policy.refusal(ip_address("::ffff:10.9.0.1"), 80)
    assert refusal is not None
    assert refusal.rule == "denied by configuration"
    assert policy.refusal(ip_address("10.8.0.1"), 80) is None


@pytest.mark.parametrize(
    ("own", "address", "is_own"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("127.0.0.1", "64:ff9b::127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("localhost", "127.0.0.1", True),
        ("localhost", "::1", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "127.9.9.9", True),
        ("0.0.0.0", "::1", True),
        ("::", "127.0.0.1", True),
        ("0.0.0.0", "192.0.2.77", False),
        ("::1", "::1", True),
        ("::1", "127.0.0.1", False),
    ],
)
def test_a22_a23_own_addresses_are_known_in_every_spelling(own: str, address: str, is_own: bool) -> None:
    where = [SocketAddress(own, 8081)]
    looping = AddressPolicy(loopback_only=True, own=where).refusal(ip_address(address), 8081)
    console = AddressPolicy(loopback_only=True, forbidden=where, allow=["::/0", "0.0.0.0/0"]).refusal(
        ip_address(address), 8081
    )
    assert (looping.kind if looping else None) == ("proxy_loop_detected" if is_own else None)
    assert (console.rule if console else None) == ("own console" if is_own else None)
    assert AddressPolicy(loopback_only=True, own=where, forbidden=where).refusal(ip_address(address), 8082) is None


def test_what_an_address_carries_is_found() -> None:
    def seen(address: str) -> list[str]:
        return [str(face) for face in faces(ip_address(address))]

    assert seen("1.2.3.4") == ["1.2.3.4"]
    assert seen("::1") == ["::1"]
    assert seen("::ffff:1.2.3.4") == ["1.2.3.4"]
    assert seen("2001:0:c000:201:0:0:3f57:fefe") == ["2001:0:c000:201::3f57:fefe", "192.0.2.1", "192.168.1.1"]
    assert seen("2606::1") == ["2606::1"]
    assert str(unmapped(ip_address("::ffff:1.2.3.4"))) == "1.2.3.4"
    assert str(unmapped(ip_address("2606::1"))) == "2606::1"


def test_local_addresses_are_told_by_binding() -> None:
    assert is_local("127.0.0.1")
    assert not is_local("192.0.2.77")
    assert not is_local("2001:db8::77")
