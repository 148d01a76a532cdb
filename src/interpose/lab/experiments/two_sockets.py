"""The socket that welcomes clients, and the sockets that speak with them."""

from __future__ import annotations

from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.scene import Scene, error_of


def run(scene: Scene) -> None:
    """Two clients, one welcoming socket."""
    scene.begin("client", "server")
    client, server = Actor(scene, "client", other="server"), Actor(scene, "server", other="client")

    welcoming = server.tcp("welcoming")
    welcoming.reuse_address()
    welcoming.bind(stand_in=8001)
    welcoming.listen()
    port = welcoming.port
    first, second = client.client(port), client.client(port)
    one, two = welcoming.accept("one"), welcoming.accept("two")

    first.send(b"I am the first")
    second.send(b"I am the second")
    scene.expect(two.receive() == b"I am the second", "Each connection has its own bytes.")
    scene.expect(one.receive() == b"I am the first", "Each connection has its own bytes.")
    error = error_of(welcoming.receive)
    scene.expect(error == "ENOTCONN", "Nothing can be received from the welcoming socket.")

    welcoming.close()
    scene.expect(error_of(lambda: client.client(port)) == "ECONNREFUSED", "Nobody welcomes new clients any more.")
    one.send(b"still here")
    scene.expect(first.receive() == b"still here", "Connections live on without the welcoming socket.")

    scene.expect(one.port == two.port == port, "All three sockets of the server have the same port.")
    scene.fact("welcoming", f"127.0.0.1:{port}, connected to nobody")
    scene.fact("one", f"127.0.0.1:{one.port}, connected to {one.peer}")
    scene.fact("two", f"127.0.0.1:{two.port}, connected to {two.peer}")


EXPERIMENT = Experiment(
    name="two-sockets",
    question="Which socket does a server speak through?",
    run=run,
    answer="""
        Not through the one that it listens on. The listening socket only welcomes: no byte of a conversation
        ever passes it, and recv() on it fails with ENOTCONN. Each accept() returns a new socket, and that one
        is the server's end of one connection.

        All of a server's sockets have the same port. What tells the connections apart is the other end: the
        kernel sorts each packet by all four numbers, both addresses and both ports.

        That they are separate is of use. A server that wants to end in order closes the welcoming socket
        first: new clients are refused, those that are there are served to the end. Interpose drains in this
        way.
    """,
    code=("net/listen.py:Listening._accept", "net/listen.py:Listening.close", "config/runtime.py:WorkerRuntime.drain"),
)
