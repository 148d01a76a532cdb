"""How a TCP socket is made, on both sides, and what the kernel makes of it at each step."""

from __future__ import annotations

from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.scene import Scene


def run(scene: Scene) -> None:
    """Both sides, one call at a time."""
    scene.begin("client", "server")
    client, server = Actor(scene, "client", other="server"), Actor(scene, "server", other="client")

    welcoming = server.tcp()
    new = welcoming.plain.state
    scene.expect(welcoming.port == 0, "A new socket has no address.")
    welcoming.reuse_address()
    welcoming.bind(stand_in=8001)
    bound = welcoming.plain.state
    welcoming.listen()
    listening = welcoming.plain.state

    asking = client.tcp()
    asking.connect(welcoming.port)
    early = asking.plain.state
    scene.expect(early in ("ESTABLISHED", ""), "The connection stands before the server has accepted it.")
    answering = welcoming.accept()
    scene.expect(answering.port == welcoming.port, "The accepted socket has the server's port.")

    asking.send(b"Foobar\n")
    scene.expect(answering.receive() == b"Foobar\n", "What one side sends the other receives.")
    asking.close()
    scene.expect(answering.receive() == b"", "After the client's close() the server's recv() returns no bytes.")
    half = answering.plain.state
    answering.close()
    welcoming.close()

    if new:
        states = [new, bound, listening, early, half]
        scene.expect(states == ["CLOSE", "CLOSE", "LISTEN", "ESTABLISHED", "CLOSE_WAIT"], "The states follow RFC 9293.")
        scene.fact("after socket()", f"{new}: no address, connected to nothing")
        scene.fact("after bind()", f"{bound}: an address, but still nobody whom a client could reach")
        scene.fact("after listen()", f"{listening}: from here on the kernel answers clients")
        scene.fact("after connect()", f"{early}, before accept() was called")
        scene.fact("server, after the client's close()", f"{half}: it may still send, until it closes too")


EXPERIMENT = Experiment(
    name="tcp-socket",
    question="How is a TCP socket made?",
    run=run,
    answer="""
        A server makes its socket in three calls. socket() gives a descriptor and nothing else. bind() gives
        it an address: an IP address of this machine and a port, or port 0 for any free one. listen() makes it
        a server: the kernel now completes connections by itself and queues them. accept() takes one from the
        queue.

        A client needs two: socket() and connect(). It has no bind() because it does not care which port it
        gets: connect() takes a free one, an ephemeral port, and then does the handshake of three packets
        (SYN, SYN+ACK, ACK).

        The handshake is the kernel's work. connect() returned while the server had not called accept() yet,
        and the client could have sent already. A server that is busy looks alive to its clients for that
        reason, until its queue is full.
    """,
    code=("net/listen.py:_bind_tcp", "net/listen.py:Listening.start", "net/blocking.py:BlockingSocket"),
)
