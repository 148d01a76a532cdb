"""A UDP client that starts before its server."""

from __future__ import annotations

from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.scene import Scene, error_of
from interpose.net.blocking import quiet_port


def run(scene: Scene) -> None:
    """A datagram to nobody; one from a socket that is connected; one to the server that has come meanwhile."""
    scene.begin("client", "server")
    client, server = Actor(scene, "client", other="server"), Actor(scene, "server", other="client")
    with quiet_port(udp=True) as port:
        scene.own(port, "server", stand_in=12000)

        scene.title("There is no server yet")
        asking = client.udp()
        count = asking.send_to(b"first", port, arrives=False)
        asking.did(f"sendto() returns {count}, as if all was well")
        scene.expect(count == 5, "sendto() succeeds although nobody is there.")
        scene.expect(asking.receive_now() is None, "The client hears nothing.")

        scene.title("The same with a connected socket")
        told = client.udp()
        told.aim(port)
        told.plain.send(b"second")
        scene.lost("client", "server", 'send("second")')
        scene.sent("server", "client", "ICMP: port unreachable")
        error = error_of(told.receive)
        scene.expect(error == "ECONNREFUSED", "A connected UDP socket is told that the port is unreachable.")

        scene.title("Now the server comes")
        serving = server.udp()
        serving.reuse_address()
        serving.bind(port)
        asking.send_to(b"third", port)
        data, sender = serving.receive_datagram()
        scene.expect(data == b"third", "What was sent before the server came is lost for ever.")
        scene.expect(serving.receive_now() is None, "Nothing else comes.")
        serving.send_to(b"THIRD", sender.port)
        scene.expect(asking.receive() == b"THIRD", "The answer reaches the client.")


EXPERIMENT = Experiment(
    name="udp-too-early",
    question="What happens to a UDP client that starts before its server?",
    run=run,
    answer="""
        It hears nothing. UDP knows no connection, so there is nothing that could be refused: sendto() gives
        the datagram to the kernel and succeeds. Nobody keeps it for later. When the server came it got the
        third datagram; the first two are lost for ever.

        A machine without anybody on the port may answer with an ICMP message, port unreachable. The kernel
        gives it only to a socket that has been connected to that address, as an error of one of the next
        calls: ECONNREFUSED. Across networks such messages are often filtered, so silence can mean that the
        server is not there, that the question was lost, or that the answer was.

        A UDP client therefore needs what TCP brings along: a deadline for the answer, another try, and a way
        to tell whether an answer belongs to the first question or to the second.
    """,
    code=("net/blocking.py:quiet_port", "engine/ask_datagrams.py:Asking"),
)
