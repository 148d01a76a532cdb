"""A TCP client that starts before its server."""

from __future__ import annotations

from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.scene import Scene, error_of
from interpose.net.blocking import quiet_port


def run(scene: Scene) -> None:
    """The client knocks three times: at nobody, at a socket that is bound, at one that listens."""
    scene.begin("client", "server")
    client, server = Actor(scene, "client", other="server"), Actor(scene, "server", other="client")
    with quiet_port() as port:
        scene.own(port, "server", stand_in=8001)

        scene.title("There is no server yet")
        asking = client.tcp()
        error = error_of(lambda: asking.connect(port))
        scene.expect(error == "ECONNREFUSED", "A TCP client before its server is refused.")

        scene.title("The server has a socket, but does not listen yet")
        welcoming = server.tcp()
        welcoming.reuse_address()
        welcoming.bind(port)
        asking = client.tcp()
        error = error_of(lambda: asking.connect(port))
        scene.expect(error == "ECONNREFUSED", "A socket that is bound and does not listen refuses too.")

        scene.title("Now it listens")
        welcoming.listen()
        asking = client.tcp()
        scene.expect(error_of(lambda: asking.connect(port)) == "", "As soon as it listens the client gets through.")
        asking.send(b"Hello")
        answering = welcoming.accept()
        scene.expect(answering.receive() == b"Hello", "What was sent before accept() arrives.")


EXPERIMENT = Experiment(
    name="tcp-too-early",
    question="What happens to a TCP client that starts before its server?",
    run=run,
    answer="""
        It is refused, and at once. Its SYN reaches the machine, the kernel finds nobody who listens on the
        port and answers with RST, and connect() fails with ECONNREFUSED. The error says: the machine is
        there, the program is not. (A machine that is not there does not answer at all; then connect() waits,
        for two minutes on Linux, and fails with ETIMEDOUT. A firewall may do either.)

        Nothing is lost by it, for nothing could be sent yet. The client may try again with a new socket; the
        third one got through. It did so before accept() was called: from listen() on the kernel completes
        connections by itself and keeps what is sent on them.
    """,
    code=("net/dial.py:Dialler", "net/errors.py:failure_of", "upstream/retry.py:may_retry"),
)
