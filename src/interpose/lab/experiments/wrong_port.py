"""A client that aims at another port than the one its server has."""

from __future__ import annotations

from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.scene import Scene, error_of
from interpose.net.blocking import quiet_port


def run(scene: Scene) -> None:
    """The server runs, and the client speaks to the port beside it: TCP, then UDP."""
    scene.begin("client", "server")
    client, server = Actor(scene, "client", other="server"), Actor(scene, "server", other="client")

    scene.title("TCP")
    welcoming = server.server(stand_in=8001)
    with quiet_port() as wrong:
        scene.own(wrong, "server", stand_in=8002)
        error = error_of(lambda: client.client(wrong))
        scene.expect(error == "ECONNREFUSED", "TCP to the wrong port is refused, although the server runs.")
    asking = client.client(welcoming.port)
    answering = welcoming.accept()
    scene.expect(answering.peer.port == asking.port, "The server sees only the client that aimed well.")

    scene.title("UDP")
    serving = server.bound_udp(stand_in=12000)
    with quiet_port(udp=True) as wrong:
        scene.own(wrong, "server", stand_in=12001)
        speaking = client.udp()
        count = speaking.send_to(b"to the wrong port", wrong, arrives=False)
        speaking.did(f"sendto() returns {count}")
        scene.expect(count == 17, "UDP to the wrong port is sent without an error.")
        scene.expect(speaking.receive_now() is None, "No answer comes.")
    speaking.send_to(b"to the right port", serving.port)
    data, _ = serving.receive_datagram()
    scene.expect(data == b"to the right port", "The server gets only what was sent to its own port.")


EXPERIMENT = Experiment(
    name="wrong-port",
    question="What happens when the client's port number is not the server's?",
    run=run,
    answer="""
        The same as when there is no server, for at that port there is none. A machine's kernel knows programs
        only by their ports: which programs run makes no difference to a packet that names another one. TCP is
        refused, UDP is lost without a word, and the server notices neither.

        Whoever reads ECONNREFUSED should therefore look at three things: does the server run, on which port,
        and on which address? A server that listens on 127.0.0.1 refuses those who come to another address of
        the same machine. Interpose prints a line with the real address of each listener when it is ready.
    """,
    code=("net/address.py:parse_address", "net/errors.py:failure_of"),
)
