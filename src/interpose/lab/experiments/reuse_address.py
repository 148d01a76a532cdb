"""Why every server sets SO_REUSEADDR."""

from __future__ import annotations

from interpose.lab.actors import Actor, ActorSocket
from interpose.lab.experiment import Experiment
from interpose.lab.scene import Scene, error_of


def run(scene: Scene) -> None:
    """A server that ends and starts again: without the option, then with it."""
    scene.begin("client", "server")
    client, server = Actor(scene, "client", other="server"), Actor(scene, "server", other="client")

    scene.title("Without SO_REUSEADDR")
    port = serve_once(server, client, reuse=False, stand_in=8001)
    again = server.tcp()
    error = error_of(lambda: again.bind(port))
    scene.expect(error == "EADDRINUSE", "Without SO_REUSEADDR the restarted server does not get its port back.")
    again.reuse_address()
    error = error_of(lambda: again.bind(port))
    scene.expect(error == "EADDRINUSE", "The option comes too late when the server that ended did not have it.")

    scene.title("With SO_REUSEADDR")
    port = serve_once(server, client, reuse=True, stand_in=8002)
    again = server.tcp()
    again.reuse_address()
    scene.expect(error_of(lambda: again.bind(port)) == "", "With SO_REUSEADDR it gets its port back at once.")
    again.listen()

    scene.title("A second server, while the first one listens")
    second = server.tcp()
    second.reuse_address()
    error = error_of(lambda: second.bind(port))
    scene.expect(error == "EADDRINUSE", "A port that somebody listens on is not shared by SO_REUSEADDR.")


def serve_once(server: Actor, client: Actor, *, reuse: bool, stand_in: int) -> int:
    """Serve one client, end the connection before the client does, and end. Gives the port."""
    welcoming: ActorSocket = server.tcp()
    if reuse:
        welcoming.reuse_address()
    welcoming.bind(stand_in=stand_in)
    welcoming.listen()
    port = welcoming.port
    asking = client.client(port)
    answering = welcoming.accept()
    answering.close()  # who closes first is left with TIME_WAIT
    asking.plain.wait_for_end()
    asking.close()
    welcoming.close()
    return port


EXPERIMENT = Experiment(
    name="reuse-address",
    question="Why do servers set SO_REUSEADDR?",
    run=run,
    answer="""
        Because otherwise a server that was ended cannot be started again for a minute. Whoever closes a
        connection first is left with it in the state TIME_WAIT: the kernel remembers both addresses for some
        time, so that a late packet of the old connection is not taken for one of a new connection. As long as
        it does, the port counts as in use.

        SO_REUSEADDR, set before bind(), says that such remains are no obstacle. On Linux the socket that
        leaves the remains must have had the option as well, so a server sets it always, not only when it is
        restarted.

        It does not let two servers have one port: while somebody listens there, bind() fails as before. To
        share a port on purpose there is another option, SO_REUSEPORT: the kernel spreads new connections over
        all sockets that were bound with it. Interpose gives each of its workers such a socket.
    """,
    code=("net/listen.py:_bind_tcp", "net/listen.py:bind", "net/listen.py:bind_group"),
)
