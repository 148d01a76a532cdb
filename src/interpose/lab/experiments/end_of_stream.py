"""What recv() returns when the sender is done, when there is nothing yet, and when the connection was broken off."""

from __future__ import annotations

from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.scene import Scene, error_of


def run(scene: Scene) -> None:
    """An orderly end and a reset."""
    scene.begin("sender", "receiver")
    sender, receiver = Actor(scene, "sender", other="receiver"), Actor(scene, "receiver", other="sender")
    welcoming = receiver.server(stand_in=8001)

    scene.title("The sender ends in order")
    speaking = sender.client(welcoming.port)
    hearing = welcoming.accept()
    scene.expect(hearing.receive_now() is None, "When nothing has come yet, recv() does not return b''.")
    speaking.send(b"Foobar\n")
    speaking.close()
    scene.expect(hearing.receive() == b"Foobar\n", "What was sent before the end is received before the end.")
    scene.expect(hearing.receive() == b"", "After the last byte recv() returns b''.")
    scene.expect(hearing.receive() == b"", "And it returns b'' each time it is called again.")
    hearing.close()

    scene.title("The sender breaks off")
    speaking = sender.client(welcoming.port)
    hearing = welcoming.accept()
    speaking.send(b"Foo")
    hearing.plain.wait_for_bytes(3)
    scene.expect(hearing.receive() == b"Foo", "What came before the reset was received.")
    speaking.reset()
    error = error_of(hearing.receive)
    scene.expect(error == "ECONNRESET", "After a reset recv() fails with ECONNRESET.")


EXPERIMENT = Experiment(
    name="end-of-stream",
    question="What does recv() return when the sender is done?",
    run=run,
    answer="""
        No bytes: b''. A stream cannot carry an empty message, so the empty result is free to mean one thing:
        the other side has sent its last byte. It comes after everything that was sent, and it comes again
        with every further call. A loop that does not look for it turns for ever, which is the most common bug
        in a first server.

        That nothing has come yet is something else. A blocking recv() waits then; one that must not wait
        fails with EAGAIN. And a connection that was broken off (the sender crashed, or dropped it on purpose)
        is no end either: recv() fails with ECONNRESET, so that half a message is not taken for a whole one.

        Interpose keeps the three apart everywhere: Stream.read returns b'' at an orderly end only, and a
        response that was cut off is never made to look complete.
    """,
    code=(
        "core/stream.py:Stream.read",
        "net/stream.py:SocketStream.eof_received",
        "engine/tunnel.py:Direction.end_received",
    ),
)
