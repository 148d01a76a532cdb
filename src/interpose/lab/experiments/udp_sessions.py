"""What a UDP relay keeps in mind so that answers find their way back."""

from __future__ import annotations

from interpose.config.roles import relay_config
from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.product import running
from interpose.lab.scene import Scene


def run(scene: Scene) -> None:
    """Two clients, one server, a relay between them."""
    scene.begin("clients", "relay", "server")
    clients, server = Actor(scene, "clients", other="relay"), Actor(scene, "server", other="relay")
    serving = server.bound_udp(stand_in=12000)
    config = relay_config([f"127.0.0.1:{serving.port}"], ["127.0.0.1:0"], udp=True, log="off")
    with running(scene, "relay", config, stand_in=5300) as port:
        anna, otto = clients.udp("Anna", silently=True), clients.udp("Otto", silently=True)
        scene.title("Two clients ask")
        anna.send_to(b"Anna?", port)
        data, for_anna = serving.receive_datagram()
        scene.expect(data == b"Anna?", "The datagram arrives, from the relay.")
        otto.send_to(b"Otto?", port)
        data, for_otto = serving.receive_datagram()
        scene.expect(data == b"Otto?", "The second client's arrives too.")
        scene.expect(for_anna.port != for_otto.port, "The relay has a port for each client.")
        scene.expect(for_anna.port != anna.port, "The server does not see the client's own port.")

        scene.title("The server answers, the second one first")
        serving.send_to(b"OTTO", for_otto.port)
        serving.send_to(b"ANNA", for_anna.port)
        scene.expect(anna.receive_datagram()[0] == b"ANNA", "Each answer finds the client that it is for.")
        scene.expect(otto.receive_datagram()[0] == b"OTTO", "Each answer finds the client that it is for.")

        scene.title("A client asks again")
        anna.send_to(b"Anna again?", port)
        _, again = serving.receive_datagram()
        scene.expect(again == for_anna, "A client that is known keeps its port.")
        scene.fact("Anna's session", f"port {anna.port} on the client's side, port {for_anna.port} on the server's")
        scene.fact("Otto's session", f"port {otto.port} on the client's side, port {for_otto.port} on the server's")


EXPERIMENT = Experiment(
    name="udp-sessions",
    question="How does a UDP relay know for whom an answer is?",
    run=run,
    answer="""
        By the port that the answer comes to. UDP knows no connections, so the relay makes up something like
        them: for each client address that it has not seen it opens a socket of its own towards the server,
        and remembers the pair. The server answers to that socket, and the relay sends what comes there to the
        client that belongs to it, from the port that the client spoke to.

        A router that many machines share one address behind does the same (NAT): one port of the shared
        address for each conversation inside.

        Nobody says when a conversation over UDP is over, so a session ends when nothing has passed for a
        while. A client that was silent for longer gets another port, and to the server it is a stranger. And
        since anybody can write any sender into a datagram, the number of sessions must have a limit.
    """,
    code=("engine/datagram_relay.py:DatagramRelay", "engine/datagram_table.py:SessionTable", "net/udp.py"),
)
