"""Head-of-line blocking: what waits behind a slow answer."""

from __future__ import annotations

from interpose.config.model import Answer, Config, Listener, Log, Route, Upstream
from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.product import running
from interpose.lab.scene import Scene

SLOW = b"GET /slow HTTP/1.1\r\nHost: lab\r\n\r\n"
QUICK = b"GET /quick HTTP/1.1\r\nHost: lab\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nslow\n"


def run(scene: Scene) -> None:
    """A slow and a quick request, first on one connection, then on two."""
    scene.begin("client", "gateway", "origin")
    client, origin = Actor(scene, "client", other="gateway"), Actor(scene, "origin", other="gateway")
    welcoming = origin.server(stand_in=8001)
    config = Config(
        log=Log(access="off"),
        listeners=(Listener(address="127.0.0.1:0", role="gateway", upstream="origin"),),
        upstreams=(Upstream(name="origin", servers=(f"127.0.0.1:{welcoming.port}",)),),
        routes=(Route(path="/quick", answer=Answer(text="quick\n")),),
    )
    with running(scene, "gateway", config, stand_in=8080) as port:
        scene.title("Both on one connection")
        sock = client.client(port)
        sock.send(SLOW + QUICK, "GET /slow, GET /quick")
        serving = welcoming.accept()
        scene.expect(b"GET /slow " in serving.receive_message(), "The slow request reaches the origin.")
        scene.expect(sock.receive_now() is None, "The quick answer waits behind the slow one.")
        serving.send(ANSWER, "200 OK, at last")
        both = sock.receive_message(b"quick\n", "200 OK slow, 200 OK quick")
        in_order = both.find(b"slow\n") < both.find(b"quick\n")
        scene.expect(in_order, "The answers come in the order of the requests.")

        scene.title("Each on a connection of its own")
        first, second = client.client(port), client.client(port)
        first.send(SLOW, "GET /slow")
        scene.expect(b"GET /slow " in serving.receive_message(), "The slow request reaches the origin.")
        second.send(QUICK, "GET /quick")
        second.receive_message(b"quick\n", "200 OK quick")
        scene.expect(first.receive_now() is None, "The quick answer comes while the slow one is waited for.")
        serving.send(ANSWER, "200 OK, at last")
        first.receive_message(b"slow\n", "200 OK slow")


EXPERIMENT = Experiment(
    name="head-of-line",
    question="Why does a quick answer have to wait for a slow one?",
    run=run,
    answer="""
        Because HTTP/1.1 has no numbers by which an answer could say to which request it belongs: the first
        answer belongs to the first request, the second to the second. The gateway had the quick answer at
        hand (it makes it by itself) and still could not send it before the origin's. The one at the head of
        the line blocks all others.

        So browsers do not send a second request on a connection before the first is answered; they open up to
        six connections to a host instead. HTTP/2 numbers its messages and mixes them on one connection, but
        TCP below it still delivers bytes in order, so one lost packet holds up all of them. HTTP/3 leaves TCP
        for that reason.

        Every ordered queue has this property. It is why Interpose keeps one queue for each direction of a
        connection, and not one for everybody.
    """,
    code=("engine/server_connection.py:ServerConnection.bytes_received", "engine/pool.py:Pool.take"),
)
