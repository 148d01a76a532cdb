"""Keep-alive against a connection for each request."""

from __future__ import annotations

import time

from interpose.config.model import Answer, Config, Listener, Log, Route, Upstream
from interpose.lab.actors import Actor, ActorSocket
from interpose.lab.experiment import Experiment
from interpose.lab.product import running
from interpose.lab.scene import Scene
from interpose.net.blocking import BlockingSocket, tcp_socket

REQUEST = b"GET /answer HTTP/1.1\r\nHost: lab\r\n\r\n"
LAST_REQUEST = b"GET /answer HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n"
TO_ORIGIN = b"GET /page HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npage\n"
DRAWN, TIMED = 2, 200


def run(scene: Scene) -> None:
    """Both ways, drawn for two requests and timed for two hundred; then what a gateway makes of it."""
    scene.begin("client", "gateway", "origin")
    client, origin = Actor(scene, "client", other="gateway"), Actor(scene, "origin", other="gateway")
    welcoming = origin.server(stand_in=8001)
    config = Config(
        log=Log(access="off"),
        listeners=(Listener(address="127.0.0.1:0", role="gateway", upstream="origin"),),
        upstreams=(Upstream(name="origin", servers=(f"127.0.0.1:{welcoming.port}",)),),
        routes=(Route(path="/answer", answer=Answer(text="Hello\n")),),
    )
    with running(scene, "gateway", config, stand_in=8080) as port:
        scene.title("A connection for each request")
        ports = set()
        for _ in range(DRAWN):
            sock = client.client(port)
            ports.add(sock.port)
            sock.send(LAST_REQUEST, "GET, Connection: close")
            scene.expect(sock.receive_message(b"Hello\n").startswith(b"HTTP/1.1 200 "), "Each request is answered.")
            scene.expect(sock.receive() == b"", "The gateway closes the connection, as it was asked to.")
            sock.plain.close()
        scene.expect(len(ports) == DRAWN, "Each request has a connection with a port of its own.")

        scene.title("Keep-alive: one connection for all requests")
        sock = client.client(port)
        for _ in range(DRAWN):
            ask(scene, sock)
        scene.expect(sock.receive_now() is None, "The connection stays open.")
        sock.close()

        scene.title("Towards the origin, for clients that do not keep theirs")
        first, second = client.client(port), client.client(port)
        first.send(TO_ORIGIN, "GET, Connection: close")
        serving = welcoming.accept()
        pass_on(scene, serving, first)
        second.send(TO_ORIGIN, "GET, Connection: close")
        pass_on(scene, serving, second)

        fresh = timed(port, keep=False)
        kept = timed(port, keep=True)
    unit = "differs from run to run"
    scene.fact(f"{TIMED} requests, a connection for each", f"{fresh * 1000:.0f} ms, {TIMED} handshakes", unit)
    scene.fact(f"{TIMED} requests, one connection", f"{kept * 1000:.0f} ms, 1 handshake", unit)


def ask(scene: Scene, sock: ActorSocket) -> None:
    """One exchange on a connection that stays."""
    sock.send(REQUEST, "GET")
    scene.expect(sock.receive_message(b"Hello\n").startswith(b"HTTP/1.1 200 "), "Each request is answered.")


def pass_on(scene: Scene, serving: ActorSocket, client: ActorSocket) -> None:
    """The origin answers on the connection that it has; the client gets it."""
    scene.expect(b"GET /page " in serving.receive_message(), "The request reaches the origin on the same connection.")
    serving.send(ANSWER, "200 OK")
    scene.expect(client.receive_message(b"page\n").startswith(b"HTTP/1.1 200 "), "The client gets the answer.")


def timed(port: int, *, keep: bool) -> float:
    """Seconds for many requests, one after the other."""
    began = time.monotonic()
    sock = connected(port)
    for _ in range(TIMED):
        sock.send_all(REQUEST if keep else LAST_REQUEST)
        received = sock.receive()
        while not received.endswith(b"Hello\n"):
            received += sock.receive()
        if not keep:
            sock.close()
            sock = connected(port)
    sock.close()
    return time.monotonic() - began


def connected(port: int) -> BlockingSocket:
    """A socket that is connected."""
    sock = tcp_socket()
    sock.connect(port)
    return sock


EXPERIMENT = Experiment(
    name="keep-alive",
    question="What is gained when a connection is kept for the next request?",
    run=run,
    answer="""
        A handshake for each request. To make a connection takes a whole round trip before the first byte can
        be sent, one or two more with TLS, and a fresh connection starts slowly because TCP does not know yet
        what the network can take. On loopback a round trip is almost free, and still the difference shows;
        across an ocean it is a tenth of a second for each request.

        In HTTP/1.1 connections are kept unless a message says Connection: close. That is possible only
        because each message says where it ends: the client knows when the answer is complete without the
        connection's end.

        A gateway keeps connections on each side by itself. Here two clients closed theirs, and the origin saw
        one connection with two requests. What has been idle for too long is closed, and a connection that did
        not end in order is never used again.
    """,
    code=("engine/pool.py:Pool.take", "engine/pool.py:Pool.put", "upstream/retry.py:may_retry"),
)
