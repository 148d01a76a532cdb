"""The HTTP server: a stream handler, and the census of its connections."""

from __future__ import annotations

from interpose.core.stream import Stream
from interpose.engine.server_connection import ServerConnection
from interpose.engine.serving import Serving, date_line


class HttpServer(Serving):
    """Serves its `handler` on every stream it is called with."""

    def __call__(self, stream: Stream) -> None:
        """Serve one stream (a `StreamHandler`)."""
        self.accepted += 1
        self.serve_inside(stream)

    def serve_inside(self, stream: Stream) -> None:
        """Serve what is inside a connection that was counted already: the plain side of TLS in a tunnel."""
        connection = ServerConnection(self, stream)
        self.connections.add(connection)
        stream.attach(connection)

    def tick(self, now: float) -> None:
        """Once a second: deadlines, and the Date of the answers we make."""
        self.date_line = date_line()
        for connection in list(self.connections):
            connection.tick(now)

    def close_idle(self) -> int:
        """Close the connections that wait for a request, and say how many there were."""
        return sum([connection.close_if_idle() for connection in list(self.connections)])

    def shed(self) -> int:
        """Close the connections that wait for another request after their first, and say how many there were."""
        return sum([connection.shed() for connection in list(self.connections)])

    def cut(self) -> None:
        """Break off every connection."""
        for connection in list(self.connections):
            connection.cut()

    @property
    def running_exchanges(self) -> int:
        """Exchanges that have not ended."""
        return sum([connection.is_busy for connection in self.connections])
