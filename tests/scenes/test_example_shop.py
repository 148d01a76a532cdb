"""The shop of examples/, started as it says, and walked through by a customer, somebody worse, and an accident."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.support.program import NAME, interpose, wait_until
from tests.support.started import Started, own_address, started

from interpose.cli import control_client

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml",
    "Accept-Language": "en",
    "Accept-Encoding": "identity",
}


class Page(NamedTuple):
    status: int
    fields: http.client.HTTPMessage
    text: str

    @property
    def colour(self) -> str:
        """Of the button with which one buys."""
        return self.text.partition("background: ")[2].partition('"')[0]

    @property
    def came_from_the_cache(self) -> bool:
        return "; hit" in self.fields.get("Cache-Status", "")


class Customer(http.client.HTTPConnection):
    """A browser that trusts the development certificate: one connection, and cookies."""

    def __init__(self, authority: Path) -> None:
        super().__init__("localhost", 8443, timeout=20)
        self.context = ssl.create_default_context(cafile=authority)
        self.cookies: dict[str, str] = {}

    def connect(self) -> None:
        plain = socket.create_connection((own_address(), 8443), 20)
        self.sock = self.context.wrap_socket(plain, server_hostname="localhost")

    def visit(self, target: str, form: dict[str, str] | None = None) -> Page:
        fields = dict(BROWSER)
        if self.cookies:
            fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form is not None:
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        self.request("GET" if form is None else "POST", target, form if form is None else urlencode(form), fields)
        answer = self.getresponse()
        page = Page(answer.status, answer.headers, answer.read().decode())
        for line in answer.headers.get_all("Set-Cookie", ()):
            for name, morsel in SimpleCookie(line).items():
                assert morsel["secure"], line
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return page


@contextmanager
def a_customer(program: Started) -> Iterator[Customer]:
    customer = Customer(program.state / "development" / "authority.pem")
    try:
        yield customer
    finally:
        customer.close()


def test_a_customer_browses_and_buys_and_an_attack_and_a_dead_server_change_nothing(tmp_path: Path) -> None:
    with started("shop", tmp_path, listeners=4) as program:
        asked = ("--state", str(program.state), "--name", NAME)

        plain = http.client.HTTPConnection(own_address(), 8080, timeout=20)
        plain.request("GET", "/products/1", headers={"Host": "localhost:8080"})
        answer = plain.getresponse()
        assert (answer.status, answer.headers["Location"]) == (308, "https://localhost:8443/products/1")
        plain.close()

        with a_customer(program) as customer:
            first, second = customer.visit("/"), customer.visit("/?utm_source=letter")
            assert (first.status, second.status) == (200, 200)
            assert [first.came_from_the_cache, second.came_from_the_cache] == [False, True]
            assert first.fields["Strict-Transport-Security"] == "max-age=300"
            assert customer.visit("/search?q=lan").text.count("<li>") == 2
            assert customer.visit("/products/3").status == 200
            assert customer.cookies == {}

            # Chosen, and the same button whatever worker and server the customer gets.
            added = customer.visit("/cart", {"product": "3"})
            assert (added.status, added.fields["Location"]) == (303, "/cart")
            customer.visit("/cart", {"product": "4"})
            cart = customer.visit("/cart")
            assert "Total: 71.95" in cart.text
            assert cart.colour in ("blue", "green")
            for _ in range(8):
                customer.close()
                assert customer.visit("/cart").colour == cart.colour

            # Somebody worse, from the same address.
            attack = "/search?" + urlencode({"q": "1' union select name, password from users -- "})
            refused = customer.visit(attack)
            assert refused.status == 403
            assert "union" not in refused.text
            assert customer.visit("/admin/").status == 403
            wait_until(
                lambda: "942100" in interpose("firewall", "list", *asked).stdout, "the firewall's view tells of it"
            )

            bought = customer.visit("/orders", {})
            assert (bought.status, bought.fields["Order-Total"]) == (201, "71.95")
            assert "cart" not in customer.cookies
            assert customer.visit("/orders", {}).status == 409

            # An accident: of two servers one dies, of which nobody hears.
            one, other = program.servers["pages"]
            os.kill(one, signal.SIGKILL)
            assert {customer.visit("/cart").status for _ in range(40)} == {200}
            wait_until(lambda: states_of_pages(program) == [{"down"}, {"up"}], "a check finds it")
            # Then the other: the catalogue is there, and who has chosen can still buy.
            customer.visit("/cart", {"product": "1"})
            customer.visit("/")  # each worker has a cache of its own: this is the one that is asked again
            os.kill(other, signal.SIGKILL)
            wait_until(lambda: states_of_pages(program) == [{"down"}] * 2, "a check finds the other")
            assert customer.visit("/").came_from_the_cache
            gone = customer.visit("/cart")
            assert (gone.status, "Retry-After" in gone.fields) == (503, True)
            assert customer.visit("/orders", {}).fields["Order-Total"] == "24.00"

        others = []
        for _ in range(12):
            with a_customer(program) as another:
                another.cookies["cart"] = "1"
                others.append(another.visit("/orders", {}).status)
        assert others == [201] * others.count(201) + [429] * others.count(429)
        assert others.count(201) >= 8

        wait_until(lambda: bought_by(program) == {cart.colour: (1, 95.95)}, "both orders count for one customer")
        assert "order" in interpose("experiments", "show", "checkout", *asked).stdout


def bought_by(program: Started) -> dict[str, tuple[int, float]]:
    """For each colour of the button, how many customers who saw it have bought something, and for how much."""
    [orders, spent] = [goal["estimates"] for goal in ask(program, "experiments/checkout")["report"]["goals"]]
    return {
        order["variant"].partition("=")[2]: (order["reached"], round(sums["mean"] * sums["units"], 2))
        for order, sums in zip(orders, spent, strict=True)
        if order["reached"]
    }


def states_of_pages(program: Started) -> list[set[str]]:
    """What workers find that the servers of the pages are, each by itself."""
    return [set(row["workers"]) for row in ask(program, "upstreams")["servers"] if row["upstream"] == "pages"]


def ask(program: Started, what: str) -> Any:
    """What the control socket answers."""
    answer = asyncio.run(control_client.ask(program.state / NAME / "control.sock", "GET", f"/v1/{what}", 20.0))
    assert answer.status == 200, answer
    return answer.content
