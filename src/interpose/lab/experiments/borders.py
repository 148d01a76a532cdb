"""Two sends and one recv: datagrams have borders, streams have none."""

from __future__ import annotations

from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.scene import Scene


def run(scene: Scene) -> None:
    """The same two messages over UDP and over TCP."""
    scene.begin("sender", "receiver")
    sender, receiver = Actor(scene, "sender", other="receiver"), Actor(scene, "receiver", other="sender")

    scene.title("UDP: datagrams")
    hearing = receiver.bound_udp(stand_in=12000)
    speaking = sender.udp()
    speaking.send_to(b"Hello, ", hearing.port)
    speaking.send_to(b"world!", hearing.port)
    scene.expect(hearing.receive_datagram()[0] == b"Hello, ", "One recv() returns one datagram.")
    scene.expect(hearing.receive_datagram()[0] == b"world!", "The next recv() returns the next datagram.")
    speaking.send_to(b"Hello, world!", hearing.port)
    speaking.send_to(b"", hearing.port)
    scene.expect(hearing.receive_datagram(5)[0] == b"Hello", "What does not fit into the buffer is cut off.")
    rest = hearing.receive_datagram()[0]
    scene.expect(rest == b"", "The rest of a datagram is gone; an empty datagram is a message like others.")

    scene.title("TCP: a stream")
    welcoming = receiver.server(stand_in=8001)
    stream = sender.client(welcoming.port)
    ear = welcoming.accept()
    stream.send(b"Hello, ")
    stream.send(b"world!")
    ear.plain.wait_for_bytes(13)
    scene.expect(ear.receive() == b"Hello, world!", "One recv() returns what two send() have sent.")
    stream.send(b"Hello, world!")
    ear.plain.wait_for_bytes(13)
    scene.expect(ear.receive(5) == b"Hello", "recv() takes no more than it asks for.")
    scene.expect(ear.receive() == b", world!", "The rest of a stream stays for the next recv().")


EXPERIMENT = Experiment(
    name="borders",
    question="Does one recv() return what one send() has sent?",
    run=run,
    answer="""
        With UDP yes, with TCP no. A datagram is a message: it comes whole or not at all, one for each call,
        and what does not fit into the receiver's buffer is thrown away.

        TCP is a stream of bytes and knows no messages. Two sends may come as one recv(), as here, and one
        send may come in pieces: which it will be depends on packets, buffers and time. A program that takes
        each recv() for a message works on its author's machine and breaks in the network.

        So whoever speaks over TCP must say where a message ends: by a line feed, by a length that is sent
        first, or by ending the stream. HTTP/1.1 uses all three. Interpose's readers are tested with every
        message whole, byte by byte, and with more bytes behind it.
    """,
    code=("protocol/collect.py:collect", "protocol/framing.py:ChunkedDecoder", "engine/echo.py:Echo"),
)
