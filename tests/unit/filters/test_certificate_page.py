"""The page from which clients get the certificate that they have to trust."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime

import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.certificate_page import CertificatePage, Trusted

TRUSTED = Trusted("Ours <&>", b"PEM", b"DER", datetime(2030, 1, 2, tzinfo=UTC), "AB:CD", ("example.com",))


async def otherwise(exchange: Exchange, request: Request) -> Response:
    return Response.text(200, "another page")


async def ask(path: str, accept: str = "text/html", method: str = "GET") -> Response:
    page = CertificatePage(TRUSTED, Authority("192.0.2.5", 3128), otherwise)
    target = Target(Form.ORIGIN, "http", Authority("proxy.example", 8080), path)
    exchange = Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0)
    return await page(exchange, Request(method, target, Fields([("Accept", accept)])))


async def test_the_page_has_a_code_for_its_own_address_and_what_to_compare() -> None:
    response = await ask("/certificate")
    page = response.body.take().decode()
    assert "Ours &lt;&amp;&gt;" in page
    assert "AB:CD" in page
    assert "example.com" in page
    assert "curl -O http://proxy.example:8080/ca.pem" in page
    [code] = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert ElementTree.fromstring(code).get("width")
    assert "style=" not in code  # which the page's policy would not let be
    assert "$" not in page.replace("$HOME", "")


async def test_programs_get_the_essentials_and_both_forms_of_the_certificate() -> None:
    text = (await ask("/certificate", accept="*/*")).body.take().decode()
    assert "2030-01-02" in text
    pem, der = await ask("/ca.pem"), await ask("/ca.cer")
    assert (pem.body.take(), pem.fields["Content-Type"]) == (b"PEM", "application/x-pem-file")
    assert (der.body.take(), der.fields["Content-Type"]) == (b"DER", "application/x-x509-ca-cert")


async def test_what_is_not_its_own_is_somebody_elses() -> None:
    assert (await ask("/")).body.take() == b"another page"
    with pytest.raises(Failure, match="GET") as refusal:
        await ask("/ca.pem", method="POST")
    assert refusal.value.status == 405
