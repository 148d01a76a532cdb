"""Backpressure: a fast sender, a slow reader, and a relay that keeps nothing for them."""

from __future__ import annotations

import hashlib
import threading

from interpose.config.roles import relay_config
from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.product import running
from interpose.lab.scene import Scene, size
from interpose.net.blocking import BlockingSocket

TOTAL = 64 << 20
"""More than all buffers of the kernel on the way together."""

CHUNK = bytes(range(256)) * 256
LOOK_S = 0.3
"""How long the sender is watched. It could not get further however long that was."""


class Sender:
    """Sends everything in a thread of its own, as fast as it is taken."""

    def __init__(self, sock: BlockingSocket) -> None:
        self._socket = sock
        self.sent = 0
        self.error: OSError | None = None
        self.thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        try:
            while self.sent < TOTAL:
                self._socket.send_all(CHUNK)
                self.sent += len(CHUNK)
            self._socket.end_sending()
        except OSError as error:
            self.error = error


def run(scene: Scene) -> None:
    """Send more than fits while nobody reads; then read."""
    scene.begin("client", "relay", "server")
    client, server = Actor(scene, "client", other="relay"), Actor(scene, "server", other="relay")
    welcoming = server.server(stand_in=8001)
    config = relay_config([f"127.0.0.1:{welcoming.port}"], ["127.0.0.1:0"], log="off")
    with running(scene, "relay", config, stand_in=9000) as port:
        asking = client.client(port)
        answering = welcoming.accept()
        sender = Sender(asking.plain)
        scene.sent("client", "relay", f"send(), {TOTAL >> 20} MiB in a loop")
        server.did("does something else, calls no recv()")
        sender.thread.start()
        sender.thread.join(LOOK_S)
        scene.expect(sender.thread.is_alive(), "The sender does not get rid of everything while nobody reads.")
        stopped_at = sender.sent
        scene.did("relay", "the server's socket is full: pauses the client's")
        scene.did("client", "send() waits: no buffer on the way has room")

        server.did("calls recv() at last, until the end")
        received, digest = drained(answering.plain)
        sender.thread.join(LOOK_S * 10)
        scene.expect(sender.error is None and not sender.thread.is_alive(), "As soon as it is read the sender goes on.")
        scene.sent("relay", "server", f'{TOTAL >> 20} MiB, FIN: recv() returns b""')
        scene.expect(received == TOTAL, "Every byte arrives.")
        wanted = hashlib.sha256(CHUNK * (TOTAL // len(CHUNK))).hexdigest()
        scene.expect(digest == wanted, "The bytes are right and in order.")
    scene.fact("sent in all", size(TOTAL))
    scene.fact("taken while nobody read", size(stopped_at), "a few megabytes, in buffers of the kernel")
    scene.fact("received in all", f"{size(received)}, SHA-256 as sent")


def drained(sock: BlockingSocket) -> tuple[int, str]:
    """How many bytes came until the end, and their SHA-256."""
    count, digest = 0, hashlib.sha256()
    while data := sock.receive(1 << 18):
        count += len(data)
        digest.update(data)
    return count, digest.hexdigest()


EXPERIMENT = Experiment(
    name="backpressure",
    question="What happens when a sender is faster than its reader?",
    run=run,
    answer="""
        It has to wait. The reader's kernel has a buffer for the connection; when that is full, it tells the
        sender's kernel that there is no room (a window of zero), the sender's buffer fills up, and send()
        does not return. Nothing is lost and nobody has to agree on anything: the slowest part sets the pace
        of all.

        A relay between them must not spoil that. One that reads whatever comes and keeps what it cannot pass
        on grows by the size of the file. Interpose stops reading from one side as soon as the other one does
        not take more, so it holds at most 256 KiB for each direction; the rest stays in the kernel's buffers
        and with the sender.

        With blocking sockets this comes by itself. On an event loop write() never waits, so it has to be
        done: pause the reading side when write() says that it is full, resume it when it has drained.
    """,
    code=(
        "core/stream.py:Stream.write",
        "engine/tunnel.py:Direction.bytes_received",
        "net/stream.py:SocketStream.pause",
    ),
)
