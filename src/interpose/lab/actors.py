"""Actors: sockets of a textbook that leave an event in the scene with everything they do."""

from __future__ import annotations

import errno
import os

from interpose.core.stream import Address
from interpose.lab.scene import Scene, first_line, quoted
from interpose.net.blocking import BlockingSocket, tcp_socket, udp_socket


class ActorSocket:
    """A socket of one part of the diagram. Calls are those of `BlockingSocket`; each is recorded as it returns.

    `other` is whom a datagram or a connection goes to when nobody owns the port. Where both sides are actors the
    sender draws the arrow, and the receiver only notes what its call returned. What comes from Interpose itself is
    drawn by the receiver.
    """

    def __init__(self, scene: Scene, who: str, sock: BlockingSocket, *, other: str, name: str = "") -> None:
        self._scene = scene
        self._socket = sock
        self._who = who
        self._other = other
        self._name = f"{name}." if name else ""
        scene.cleanup.callback(sock.close)

    @property
    def plain(self) -> BlockingSocket:
        """The socket itself, whose calls are not recorded."""
        return self._socket

    @property
    def local(self) -> Address:
        """The own address."""
        return self._socket.local

    @property
    def port(self) -> int:
        """The own port."""
        return self._socket.local.port

    @property
    def peer(self) -> Address:
        """The other side's address."""
        return self._socket.peer

    def did(self, what: str) -> None:
        """Note a call and what came of it."""
        self._scene.did(self._who, self._name + what)

    def own(self, stand_in: int | None = None) -> None:
        """Let the scene know whose port this is."""
        if not self._scene.knows(self.port):
            self._scene.own(self.port, self._who, stand_in=stand_in)

    def reuse_address(self) -> None:
        """Set SO_REUSEADDR."""
        self._socket.reuse_address()
        self.did("setsockopt(SO_REUSEADDR, 1)")

    def bind(self, port: int = 0, *, stand_in: int | None = None) -> None:
        """Take an address."""
        try:
            self._socket.bind(port)
        except OSError as error:
            self.did(f"bind(127.0.0.1:{port}) fails: {named(error)}")
            raise
        self.own(stand_in)
        self.did(f"bind(127.0.0.1:{port})" if port else f"bind(127.0.0.1:0): the kernel chooses port {self.port}")

    def listen(self) -> None:
        """Become a server."""
        try:
            self._socket.listen()
        except OSError as error:
            self.did(f"listen() fails: {named(error)}")
            raise
        self.did("listen()")

    def accept(self, name: str = "") -> ActorSocket:
        """Take the next connection."""
        accepted = self._socket.accept()
        peer = accepted.peer
        other = self._scene.owner_of(peer.port, self._other)
        if not self._scene.knows(peer.port):
            self._scene.own(peer.port, other)
        self._heard(other, f"accept() returns a new socket for {peer}", f"connect() from port {peer.port}")
        return ActorSocket(self._scene, self._who, accepted, other=other, name=name)

    def connect(self, port: int) -> None:
        """Connect, and draw what the kernel's messages were."""
        target = self._scene.owner_of(port, self._other)
        begun_s = self._scene.now_s()
        try:
            self._socket.connect(port)
        except ConnectionRefusedError as error:
            self._scene.sent(self._who, target, f"SYN to port {port}", at_s=begun_s)
            self._scene.sent(target, self._who, "RST: nobody listens here")
            self.did(f"connect() fails: {named(error)}")
            raise
        except OSError as error:
            self.did(f"connect() fails: {named(error)}")
            raise
        self.own()
        self._other = target
        self._scene.sent(self._who, target, f"{self._name}connect() from port {self.port}")

    def aim(self, port: int) -> None:
        """(UDP) Remember whom to speak to. Nothing is sent."""
        self._socket.connect(port)
        self.own()
        self.did(f"connect(127.0.0.1:{port}): sends nothing, only remembers the address")

    def send(self, data: bytes, shown: str = "") -> None:
        """Send all of it; the diagram says `shown`."""
        try:
            self._socket.send_all(data)
        except OSError as error:
            self.did(f"send() fails: {named(error)}")
            raise
        self._scene.sent(self._who, self._other, shown or f"{self._name}send({quoted(data)})")

    def send_to(self, data: bytes, port: int, *, arrives: bool = True) -> int:
        """Send one datagram. The sender cannot know whether it arrives; the experiment does."""
        count = self._socket.send_to(data, port)
        self.own()
        target = self._scene.owner_of(port, self._other)
        draw = self._scene.sent if arrives else self._scene.lost
        draw(self._who, target, f"{self._name}sendto({quoted(data)}, port {port})")
        return count

    def receive(self, limit: int = 65536, shown: str = "") -> bytes:
        """Receive, and note what the call returned; the diagram says `shown`."""
        try:
            data = self._socket.receive(limit)
        except OSError as error:
            self.did(f"recv() fails: {named(error)}")
            raise
        asked = "" if limit == 65536 else f"{limit}"
        text = shown or f"recv({asked}) returns {quoted(data)}"
        self._heard(self._other, text + ("" if data else ", no bytes: the end"), text if data else f"FIN: {text}")
        return data

    def receive_message(self, end: bytes = b"\r\n\r\n", shown: str = "") -> bytes:
        """Receive until what came ends in `end`, drawn as one event: `shown`, or the first line of a head."""
        data = b""
        while not data.endswith(end):
            more = self._socket.receive()
            if not more:
                raise ConnectionError(f"the stream ended after {quoted(data)}")
            data += more
        if b"\r\n" in data:
            line = shown or first_line(data)
            self._heard(self._other, f"recv() returns {line} …", line)
        else:
            self._heard(self._other, f"recv() returns {quoted(data)}", f"recv() returns {quoted(data)}")
        return data

    def receive_datagram(self, limit: int = 65536) -> tuple[bytes, Address]:
        """Receive one datagram and who sent it."""
        data, sender = self._socket.receive_from(limit)
        asked = "" if limit == 65536 else f"{limit}"
        other = self._scene.owner_of(sender.port, self._other)
        if not self._scene.knows(sender.port):
            self._scene.own(sender.port, other)
        text = f"recvfrom({asked}) returns {quoted(data)} from port {sender.port}"
        self._heard(other, text, text)
        return data, sender

    def receive_now(self) -> bytes | None:
        """What is there now, None when there is nothing."""
        try:
            data = self._socket.receive_now()
        except BlockingIOError:
            self.did("recv() without waiting fails: EAGAIN, nothing there yet")
            return None
        self.did(f"recv() without waiting returns {quoted(data)}")
        return data

    def end_sending(self) -> None:
        """Half-close."""
        self._socket.end_sending()
        self._scene.sent(self._who, self._other, self._name + "shutdown(SHUT_WR): FIN")

    def close(self) -> None:
        """Close; a connection's other side is told."""
        connected = self._is_connected()
        self._socket.close()
        if connected:
            self._scene.sent(self._who, self._other, self._name + "close(): FIN")
        else:
            self.did("close()")

    def reset(self) -> None:
        """Break the connection off."""
        self._socket.reset()
        self._scene.sent(self._who, self._other, "close() with SO_LINGER 0: RST")

    def _heard(self, other: str, note: str, arrow: str) -> None:
        if other in self._scene.products:
            self._scene.sent(other, self._who, self._name + arrow)
        else:
            self.did(note)

    def _is_connected(self) -> bool:
        try:
            return self._socket.state in ("ESTABLISHED", "CLOSE_WAIT") and self._socket.peer is not None
        except OSError:
            return False


class Actor:
    """One part of the diagram that makes sockets."""

    def __init__(self, scene: Scene, who: str, *, other: str) -> None:
        self._scene = scene
        self._who = who
        self._other = other

    def did(self, what: str) -> None:
        """Note something."""
        self._scene.did(self._who, what)

    def tcp(self, name: str = "", *, silently: bool = False) -> ActorSocket:
        """A new TCP socket; `name` tells it from others of the same part."""
        if not silently:
            self.did(f"{name + ' = ' if name else ''}socket(SOCK_STREAM)")
        return ActorSocket(self._scene, self._who, tcp_socket(self._scene.watch), other=self._other, name=name)

    def udp(self, name: str = "", *, silently: bool = False) -> ActorSocket:
        """A new UDP socket."""
        if not silently:
            self.did(f"{name + ' = ' if name else ''}socket(SOCK_DGRAM)")
        return ActorSocket(self._scene, self._who, udp_socket(self._scene.watch), other=self._other, name=name)

    def server(self, *, stand_in: int) -> ActorSocket:
        """A TCP socket that listens, drawn as one event where how it came to be is not the question."""
        made = ActorSocket(self._scene, self._who, tcp_socket(self._scene.watch), other=self._other)
        made.plain.reuse_address()
        made.plain.bind()
        made.plain.listen()
        made.own(stand_in)
        self.did(f"listens on port {made.port}")
        return made

    def client(self, port: int, name: str = "") -> ActorSocket:
        """A TCP socket that is connected to `port`."""
        made = self.tcp(name, silently=True)
        made.connect(port)
        return made

    def bound_udp(self, *, stand_in: int) -> ActorSocket:
        """A UDP socket with an address."""
        made = ActorSocket(self._scene, self._who, udp_socket(self._scene.watch), other=self._other)
        made.plain.bind()
        made.own(stand_in)
        self.did(f"UDP on port {made.port}")
        return made


def named(error: OSError) -> str:
    """The kernel's name of an error and its words: `ECONNREFUSED, connection refused`."""
    number = error.errno or 0
    return f"{errno.errorcode.get(number, 'error')}, {os.strerror(number).lower()}"
