"""The ports of both sides of a connection."""

from __future__ import annotations

from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.scene import Scene, error_of


def run(scene: Scene) -> None:
    """Two connections to one server, then one client port for two servers."""
    scene.begin("client", "server A", "server B")
    client = Actor(scene, "client", other="server A")
    first = Actor(scene, "server A", other="client").server(stand_in=8001)
    second = Actor(scene, "server B", other="client").server(stand_in=8002)

    scene.title("Two connections to one server")
    one, two = client.client(first.port), client.client(first.port)
    ends = [first.accept(), first.accept()]
    scene.expect([end.peer.port for end in ends] == [one.port, two.port], "Both sides name the same two ports.")
    scene.expect(one.port != two.port, "Each connection of the client has a port of its own.")
    scene.expect(ends[0].port == ends[1].port == first.port, "On the server's side the port is always the same.")

    scene.title("One port of the client, two servers")
    chosen = client.tcp()
    chosen.reuse_address()
    chosen.bind()
    port = chosen.port
    chosen.connect(first.port)
    other = client.tcp()
    other.reuse_address()
    other.bind(port)
    scene.expect(error_of(lambda: other.connect(second.port)) == "", "One port serves for connections to two servers.")
    third = client.tcp()
    third.reuse_address()
    third.bind(port)
    error = error_of(lambda: third.connect(first.port))
    scene.expect(error == "EADDRNOTAVAIL", "The same four numbers twice are impossible.")

    for number, sock in enumerate((one, two, chosen, other), 1):
        scene.fact(f"connection {number}", f"client {sock.local}, server {sock.peer}")


EXPERIMENT = Experiment(
    name="ports",
    question="Which ports do both sides of a connection have?",
    run=run,
    answer="""
        Two ports belong to each connection. The server's is known beforehand and the same for all clients.
        The client's is chosen by its kernel, from a range that is set aside for that (on Linux 32768 to
        60999), and it is another one for each connection. Each side calls its own end local and the other one
        peer, so both name the same pair, the other way round.

        A connection is known by four numbers: both addresses and both ports. As long as one of them differs
        it is another connection. So the client may use one port towards two servers, and a server may have
        tens of thousands of connections on one port. Only all four together cannot be had twice:
        EADDRNOTAVAIL.

        This limits proxies: towards one origin, from one address, there are about 28,000 ports. That is one
        reason why Interpose keeps connections to origins and uses them again.
    """,
    code=("core/stream.py:StreamInfo", "engine/pool.py:Pool", "core/exchange.py:Attempt"),
)
