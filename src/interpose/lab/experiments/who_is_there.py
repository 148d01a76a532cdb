"""What each side knows of a connection, and what a relay between them changes."""

from __future__ import annotations

from interpose.config.roles import relay_config
from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.product import running
from interpose.lab.scene import Scene


def run(scene: Scene) -> None:
    """Directly, then through a relay, then through one that sends a PROXY line."""
    scene.begin("client", "relay", "server")
    client, server = Actor(scene, "client", other="relay"), Actor(scene, "server", other="relay")
    welcoming = server.server(stand_in=8001)
    target = f"127.0.0.1:{welcoming.port}"

    scene.title("Directly")
    asking = client.client(welcoming.port)
    answering = welcoming.accept()
    scene.expect(answering.peer == asking.local, "The server sees the client's address and port.")
    scene.expect(asking.peer == answering.local, "The client sees the server's.")
    scene.fact("directly, the client sees", f"itself {asking.local}, the server {asking.peer}")
    scene.fact("directly, the server sees", f"itself {answering.local}, the client {answering.peer}")

    scene.title("Through a relay")
    with running(scene, "relay", relay_config([target], ["127.0.0.1:0"], log="off"), stand_in=9000) as port:
        asking = client.client(port)
        answering = welcoming.accept()
        scene.expect(answering.peer != asking.local, "Behind a relay the server sees the relay, not the client.")
        scene.fact("through a relay, the client is", str(asking.local))
        scene.fact("through a relay, the server sees", f"{answering.peer}, which is the relay")

    scene.title("Through a relay that says for whom it comes")
    config = relay_config([target], ["127.0.0.1:0"], log="off", send_proxy_protocol="v1")
    with running(scene, "relay", config, stand_in=9001) as port:
        asking = client.client(port)
        asking.send(b"Hello")
        answering = welcoming.accept()
        line = answering.receive_message(b"Hello")
        wanted = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nHello" % (asking.port, port)
        scene.expect(line == wanted, "The PROXY line names the client and comes before its first byte.")
        scene.fact("with a PROXY line, the server is told", f"127.0.0.1:{asking.port}, which is the client")


EXPERIMENT = Experiment(
    name="who-is-there",
    question="What does each side know of a connection?",
    run=run,
    answer="""
        Four things: its own address and port (getsockname), and those of the other side (getpeername).
        accept() returns the client's as well. That is all. Neither a name nor a person nor a program belongs
        to a connection: who wants to know must ask, by a password or a certificate.

        And it is only the address of whoever made this connection. A relay makes a connection of its own, so
        the server sees the relay. To pass on who the client is it must be said inside: with the PROXY
        protocol in one line before the first byte, in HTTP with the fields Forwarded or X-Forwarded-For.
        Anybody can write such a line, so a server must believe it only from relays that it knows.
    """,
    code=("core/stream.py:StreamInfo", "protocol/proxy_line.py:proxy_line", "filters/forwarding.py:Forwarding"),
)
