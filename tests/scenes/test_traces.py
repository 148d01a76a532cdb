"""Spans that reach a collector, and what happens when there is none."""

import asyncio
import json

from tests.support.product import product
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering, silent

from interpose.config.load import config_of
from interpose.config.model import Config

TRACE = "0af7651916cd43dd8448eb211c80319c"
GET = f"GET /cart HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n\r\n".encode()


def gateway(origin: RawOrigin, collector: str, **traces: object) -> Config:
    listener = {"address": "127.0.0.1:0", "role": "gateway", "upstream": "app"}
    upstream = {"name": "app", "servers": [origin.address]}
    return config_of(
        {
            "process": {"grace_s": 1},
            "listener": [listener],
            "upstream": [upstream],
            "traces": {"otlp": f"http://{collector}", "service": "shop", **traces},
        },
        name="gateway",
    )


async def test_spans_reach_the_collector_and_the_server_hangs_below_them() -> None:
    async with RawOrigin(answering(OK)) as origin, RawOrigin(answering(OK)) as collector:
        async with product(gateway(origin, collector.address)) as running, RawClient(running.address()) as client:
            client.send(GET)
            assert [answer.status for answer in await client.answers("GET")] == [200]
            await collector.connected()
            await collector.connections[0].until(b"spanId")
        [seen], [told] = origin.requests(), collector.requests()
    assert (told.method, told.target) == ("POST", "/v1/traces")
    [resource] = json.loads(told.body)["resourceSpans"]
    named = {one["key"]: one["value"] for one in resource["resource"]["attributes"]}
    assert named["service.name"] == {"stringValue": "shop"}
    [exchange, tried] = resource["scopeSpans"][0]["spans"]
    assert (exchange["traceId"], exchange["parentSpanId"], exchange["kind"]) == (TRACE, "b7ad6b7169203331", 2)
    assert tried["parentSpanId"] == exchange["spanId"]
    assert seen.values("traceparent") == [f"00-{TRACE}-{tried['spanId']}-01"]
    assert int(tried["startTimeUnixNano"]) >= int(exchange["startTimeUnixNano"])


async def test_a_collector_that_is_silent_delays_nobody() -> None:
    async with RawOrigin(answering(OK)) as origin, RawOrigin(silent) as collector:
        config = gateway(origin, collector.address, otlp_timeout_s=0.2)
        async with product(config) as running, RawClient(running.address()) as client:
            for _ in range(20):
                client.send(GET)
                async with asyncio.timeout(5):
                    assert [answer.status for answer in await client.answers("GET")] == [200]
