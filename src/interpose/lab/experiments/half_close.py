"""Half-close: to say "that was all" and go on listening."""

from __future__ import annotations

from interpose.config.roles import relay_config
from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.product import running
from interpose.lab.scene import Scene, error_of


def run(scene: Scene) -> None:
    """Through a relay with shutdown(), then directly with close()."""
    scene.begin("client", "relay", "server")
    client, server = Actor(scene, "client", other="relay"), Actor(scene, "server", other="relay")
    welcoming = server.server(stand_in=8001)

    scene.title("shutdown(SHUT_WR), through a relay")
    config = relay_config([f"127.0.0.1:{welcoming.port}"], ["127.0.0.1:0"], log="off")
    with running(scene, "relay", config, stand_in=9000) as port:
        asking = client.client(port)
        asking.send(b"one\ntwo\n")
        asking.end_sending()
        answering = welcoming.accept()
        scene.expect(answering.receive_message(b"two\n") == b"one\ntwo\n", "Everything arrives.")
        scene.expect(answering.receive() == b"", "Then the end arrives, through the relay.")
        answering.send(b"2 lines\n")
        answering.close()
        scene.expect(asking.receive() == b"2 lines\n", "The answer comes although the client had ended its side.")
        scene.expect(asking.receive() == b"", "Then the server's end arrives.")

    scene.title("close(), directly")
    asking = client.client(welcoming.port)
    answering = welcoming.accept()
    asking.send(b"one\ntwo\n")
    asking.close()
    scene.expect(answering.receive() == b"one\ntwo\n", "Everything arrives.")
    scene.expect(answering.receive() == b"", "For the server it looks the same: no bytes.")
    answering.send(b"2 lines\n")
    scene.sent("client", "server", "RST: nobody is here any more")
    answering.plain.wait_for_reset()
    error = error_of(lambda: answering.send(b"Hello?"))
    scene.expect(error == "EPIPE", "Whoever has closed cannot be answered.")


EXPERIMENT = Experiment(
    name="half-close",
    question="Can a client say that it is done and still get its answer?",
    run=run,
    answer="""
        Yes: a TCP connection has two directions, and each ends by itself. shutdown(SHUT_WR) ends the own one:
        the other side receives everything and then the end, and can answer for as long as it likes. That is
        how `nc` and `interpose connect` send a file to a server that answers only when it has all of it.

        close() gives up both directions. To the server it looks the same at first, for it receives no bytes
        in both cases. But what it answers hits a socket that is gone: the client's kernel replies with a
        reset, and the answer is lost.

        Relays often get this wrong: they close both sides when one has ended. Interpose passes on the end of
        each direction by itself, in relays and in tunnels.
    """,
    code=("engine/tunnel.py:Direction.end_received", "net/stream.py:SocketStream.end", "core/stream.py:Stream.end"),
)
