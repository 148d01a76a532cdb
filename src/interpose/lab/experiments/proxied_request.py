"""The same request three times: to an origin, to a proxy, and from the proxy to the origin."""

from __future__ import annotations

from interpose.config.roles import proxy_config
from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.product import running
from interpose.lab.scene import Scene

CONTENT = b"<h1>Hello</h1>\n"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nDate: Fri, 01 Jan 2027 00:00:00 GMT\r\nContent-Type: text/html\r\n"
    b"Content-Length: %d\r\nKeep-Alive: timeout=5\r\n\r\n%s" % (len(CONTENT), CONTENT)
)


def request(target: str, host: str, *more: str) -> bytes:
    """What a browser sends."""
    fields = (f"Host: {host}", "User-Agent: Browser/1.0", "Accept: text/html", *more)
    return "\r\n".join([f"GET {target} HTTP/1.1", *fields, "", ""]).encode()


def run(scene: Scene) -> None:
    """Three pairs of messages."""
    scene.begin("browser", "proxy", "origin")
    browser, origin = Actor(scene, "browser", other="proxy"), Actor(scene, "origin", other="proxy")
    welcoming = origin.server(stand_in=8001)
    host = f"127.0.0.1:{welcoming.port}"

    scene.title("Without a proxy")
    asking = browser.client(welcoming.port)
    direct = request("/page", host, "Connection: keep-alive")
    asking.send(direct, "GET /page HTTP/1.1 …")
    answering = welcoming.accept()
    scene.expect(answering.receive_message() == direct, "The origin gets what the browser sent.")
    answering.send(ANSWER, "HTTP/1.1 200 OK …")
    scene.expect(asking.receive_message(CONTENT) == ANSWER, "The browser gets what the origin sent.")

    scene.title("With a proxy")
    with running(scene, "proxy", proxy_config(["127.0.0.1:0"], log="off"), stand_in=8080) as port:
        asking = browser.client(port)
        to_proxy = request(f"http://{host}/page", host, "Proxy-Connection: keep-alive")
        asking.send(to_proxy, f"GET http://{host}/page HTTP/1.1 …")
        answering = welcoming.accept()
        from_proxy = answering.receive_message()
        answering.send(ANSWER, "HTTP/1.1 200 OK …")
        from_proxy_back = asking.receive_message(CONTENT)

    scene.expect(from_proxy.startswith(b"GET /page HTTP/1.1\r\n"), "The proxy asks the origin for a path.")
    scene.expect(b"Proxy-Connection" not in from_proxy, "What was meant for the proxy is not passed on.")
    scene.expect(b"Via: 1.1 interpose\r\n" in from_proxy, "The proxy says in Via that it was there.")
    scene.expect(b"Host: %s\r\n" % host.encode() in from_proxy, "The origin learns which host was asked for.")
    scene.expect(b"Keep-Alive" not in from_proxy_back, "Hop-by-hop fields of the answer are not passed on.")
    scene.expect(b"Via: 1.1 interpose\r\n" in from_proxy_back, "The answer says as well by which way it came.")
    scene.expect(from_proxy_back.endswith(b"\r\n\r\n" + CONTENT), "The content is the origin's.")
    scene.show("1. The browser to an origin, without a proxy", direct)
    scene.show("1. and the origin's answer", ANSWER)
    scene.show("2. The browser to a proxy", to_proxy)
    scene.show("3. The proxy to the origin", from_proxy)
    scene.show("3. and the origin's answer to the proxy", ANSWER)
    scene.show("2. and the proxy's answer to the browser", from_proxy_back)


EXPERIMENT = Experiment(
    name="proxied-request",
    question="What does a browser send to a proxy, and the proxy to the origin?",
    run=run,
    answer="""
        Three pairs of messages. To an origin a browser sends the path only, since it is connected to the
        right host already (origin form). To a proxy it sends the whole address (absolute form): the proxy
        must know where to go. The proxy connects to that host and asks in origin form, as a browser would.
        The origin's answer goes the same way back.

        The proxy does not pass on bytes, it writes messages of its own. Fields that belong to one connection
        only are left out on the way (Connection and what it names, Keep-Alive, Proxy-Connection); Host and
        the framing are written anew; Via says that a proxy was there, in both directions.

        For https the browser asks the proxy for a tunnel instead: CONNECT host:443. After the answer 200 the
        proxy passes bytes on in both directions and cannot read them.
    """,
    code=("protocol/target.py:parse_target", "filters/forwarding.py:Forwarding", "protocol/writer.py:request_head"),
)
