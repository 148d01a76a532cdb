"""Who may ask for metrics and probes, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.asgi import Asgi
from tests.support.console import ToldInstance

from interpose.console.monitor import monitor
from interpose.core.networks import Networks


def asking(instance: ToldInstance | None = None, host: str = "127.0.0.1:9464", **options: Any) -> Asgi:
    options = {"allow_from": Networks(()), "hosts": (), **options}
    served = monitor(instance or ToldInstance(), lambda: "interpose_ready 1\n", **options)
    return Asgi(served, fields={"Host": host})


async def test_metrics_are_told_in_the_format_of_prometheus() -> None:
    answer = await asking().get("/metrics")
    assert (answer.status, answer.content) == (200, b"interpose_ready 1\n")
    assert answer.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.fields["cache-control"] == "no-store"


async def test_readiness_is_the_instances_and_health_is_that_it_answers() -> None:
    instance = ToldInstance()
    assert (await asking(instance).get("/readyz")).status == 200
    instance.is_ready = False
    refused = await asking(instance).get("/readyz")
    assert (refused.status, refused.content) == (503, b"not ready\n")
    assert (await asking(instance).get("/healthz")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/metrics", 405), ("GET", "/", 404), ("GET", "/api/v1/status", 404)]
)
async def test_there_is_nothing_else(method: str, path: str, status: int) -> None:
    assert (await asking().ask(method, path)).status == status


@pytest.mark.parametrize("host", ["127.0.0.1:9464", "localhost:9464", "[::1]:9464", "10.1.2.3", "LOCALHOST"])
async def test_an_address_may_always_be_asked(host: str) -> None:
    assert (await asking(host=host).get("/metrics")).status == 200


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/none"])
async def test_a23_a_name_that_somebody_made_mean_this_address_is_refused(path: str) -> None:
    answer = await asking(host="rebound.example:9464").get(path)
    assert answer.status == 421
    assert b"metrics.hosts" in answer.content
    assert b"interpose_ready" not in answer.content


async def test_names_that_are_configured_may_be_asked() -> None:
    known = {"hosts": ("proxy.internal", "*.monitoring.example")}
    assert (await asking(host="proxy.internal:9464", **known).get("/metrics")).status == 200
    assert (await asking(host="a.monitoring.example", **known).get("/metrics")).status == 200
    assert (await asking(host="monitoring.example", **known).get("/metrics")).status == 421


async def test_only_who_is_allowed_may_ask() -> None:
    client = asking(allow_from=Networks(["10.0.0.0/8"]), host="10.0.0.1")
    client.client = ("192.0.2.7", 50000)
    answer = await client.get("/metrics")
    assert (answer.status, b"allow_from" in answer.content) == (403, True)
    client.client = ("10.20.30.40", 50000)
    assert (await client.get("/metrics")).status == 200
