"""The relay as a program, between other people's: nc, socat and curl as clients, nginx and HAProxy on either side."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import CertificateAuthority
from tests.support.nginx import Nginx
from tests.support.program import INTERPOSE, Program, children_of, interpose, wait_until
from tests.support.relays import haproxy, nginx_stream

DEADLINE_S = 20.0
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
WHO = 'http-request return status 200 content-type text/plain lf-string "%[src] %[dst]:%[dst_port]"'


def run(*command: str, stdin: bytes = b"") -> bytes:
    """What a command prints; it must end well."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=DEADLINE_S, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, (command, done.returncode, done.stderr)
    return done.stdout


def curl(*arguments: str) -> bytes:
    return run("curl", "-sS", "--max-time", "15", *arguments)


@contextmanager
def relay(directory: Path, *arguments: str, listen: str = "127.0.0.1:0", **options: Any) -> Iterator[Program]:
    log = directory / "relay" / "access.log"
    with Program(directory / "relay", "relay", "--listen", listen, "--log", str(log), *arguments, **options) as program:
        yield program


@contextmanager
def listening(serve: Any) -> Iterator[int]:
    """A server in a thread that serves one connection after the other; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def loop() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(DEADLINE_S)
                    serve(connection)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        port = int(server.getsockname()[1])
        try:
            yield port
        finally:
            stop.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE_S)


def all_of(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def upper(connection: socket.socket) -> None:
    connection.sendall(all_of(connection).upper())


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("r")


@pytest.fixture
def site(place: Path) -> Iterator[Nginx]:
    root = place / "site"
    root.mkdir()
    (root / "index.html").write_bytes(random.Random(5).randbytes(50_000))
    authority = CertificateAuthority(place)
    with Nginx(place / "nginx", root, certificate=authority.issue("localhost", "127.0.0.1")) as origin:
        yield origin


def test_nc_and_socat_get_the_answer_after_they_have_ended_their_side(place: Path) -> None:
    with listening(upper) as server, relay(place, "--to", f"127.0.0.1:{server}") as program:
        port = str(program.port)
        assert run("nc", "-N", "127.0.0.1", port, stdin=b"Foobar\n") == b"FOOBAR\n"
        assert run("socat", "-t10", "-", f"TCP:127.0.0.1:{port}", stdin=b"Foobar\n") == b"FOOBAR\n"
        lines = program.log(2)
    assert [(line["bytes_in"], line["bytes"], line["status"]) for line in lines] == [(7, 7, 200)] * 2
    assert program.ready[0]["url"] == f"tcp://127.0.0.1:{port}"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_relay_to_one_fixed_site_is_asked_with_the_sites_host(place: Path, site: Nginx, workers: str) -> None:
    """The classic exercise, in one process and, as a forking proxy does it, in several."""
    there = f"http://site.example:{site.port}/index.html"
    direct = curl("--connect-to", f"::127.0.0.1:{site.port}", there)
    with relay(place, "--to", f"127.0.0.1:{site.port}", "--workers", workers) as program:
        for _ in range(8):
            assert curl("--connect-to", f"::127.0.0.1:{program.port}", there) == direct
        lines = program.log(8)
    assert hashlib.sha256(direct).digest() == hashlib.sha256((place / "site/index.html").read_bytes()).digest()
    assert {line["target"] for line in lines} == {f"127.0.0.1:{site.port}"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_forking_proxy_passes_the_same_page_on(place: Path, site: Nginx, workers: str) -> None:
    there = f"http://127.0.0.1:{site.port}/index.html"
    direct = curl(there)
    with Program(place / "proxy", "proxy", "--workers", workers) as proxy:
        assert all(curl("--proxy", proxy.url, there) == direct for _ in range(8))
        assert curl("--proxytunnel", "--proxy", proxy.url, there) == direct


def test_tls_is_added_and_taken_off(place: Path, site: Nginx) -> None:
    others = place / "others"
    others.mkdir()
    authority = CertificateAuthority(others)
    pair = authority.issue("localhost")
    tls = ("--tls-certificate", pair.certificate, "--tls-key", pair.key)
    direct = curl(f"http://127.0.0.1:{site.port}/index.html")
    sites_own = str(place / "test-authority.pem")
    with relay(place / "a", "--to", f"tls://localhost:{site.tls_port}", "--ca-file", sites_own) as program:
        assert curl(f"http://127.0.0.1:{program.port}/index.html") == direct
    with relay(place / "b", "--to", f"127.0.0.1:{site.port}", *tls) as program:
        assert program.url == f"tls://127.0.0.1:{program.port}"
        page = curl("--cacert", authority.file, f"https://localhost:{program.port}/index.html")
    assert page == direct
    with relay(place / "c", "--to", f"tls://localhost:{site.tls_port}", "--insecure", *tls) as program:
        assert curl("--cacert", authority.file, f"https://localhost:{program.port}/index.html") == direct


def test_unix_sockets_on_both_sides(place: Path) -> None:
    inner, outer = place / "inner", place / "outer"
    server = subprocess.Popen(["socat", f"UNIX-LISTEN:{inner},fork", "SYSTEM:tr a-z A-Z"])
    try:
        wait_until(inner.exists, "socat listens")
        with relay(place, "--to", f"unix:{inner}", listen=f"unix:{outer}"):
            assert run("socat", "-t10", "-", f"UNIX-CONNECT:{outer}", stdin=b"hello") == b"HELLO"
            assert run("nc", "-N", "-U", str(outer), stdin=b"again") == b"AGAIN"
    finally:
        server.terminate()
        server.wait(DEADLINE_S)


def test_what_passes_is_shown_and_a_terminal_obeys_none_of_it(place: Path) -> None:
    with listening(upper) as server:
        command = ["--to", f"127.0.0.1:{server}", "--show", "--log", "off", "--name", "shown", "--state", str(place)]
        process = subprocess.Popen(
            [INTERPOSE, "relay", "--listen", "127.0.0.1:0", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        port = process.stderr.readline().decode().strip().rpartition(":")[2]
        assert run("nc", "-N", "127.0.0.1", port, stdin=b"bell\x07\x1b[2J\n") == b"BELL\x07\x1b[2J\n"
        process.send_signal(signal.SIGTERM)
        shown, _ = process.communicate(timeout=DEADLINE_S)
    text = shown.decode()
    assert 'sent 10 bytes: "bell\\x07\\x1b[2J\\n"' in text
    assert 'was sent 10 bytes: "BELL\\x07\\x1b[2J\\n"' in text
    assert f"is relayed to 127.0.0.1:{server}" in text
    assert "\x1b" not in text


# --- the PROXY protocol, between programs that were not made for each other -------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nginx_and_haproxy_read_what_we_write(place: Path, version: str) -> None:
    who = place / "who"
    answer = 'return 200 "$proxy_protocol_addr $proxy_protocol_server_addr:$proxy_protocol_server_port";'
    servers = f"server {{ listen unix:{who} proxy_protocol; location / {{ {answer} }} }}"
    with nginx_stream(place / "nginx", "return ok;", servers):
        wait_until(who.exists, "nginx listens")
        with relay(place / "a", "--to", f"unix:{who}", "--send-proxy", version) as program:
            seen = curl("--interface", "127.0.0.5", f"http://127.0.0.1:{program.port}/")
            assert seen.decode() == f"127.0.0.5 127.0.0.1:{program.port}"
    with (
        haproxy(place / "haproxy", f"mode http\n  {WHO}", options="accept-proxy") as port,
        relay(place / "b", "--to", f"127.0.0.1:{port}", "--send-proxy", version) as program,
    ):
        seen = curl("--interface", "127.0.0.5", f"http://127.0.0.1:{program.port}/")
        assert seen.decode() == f"127.0.0.5 127.0.0.1:{program.port}"


def test_before_tls_the_header_is_sent_in_the_clear(place: Path) -> None:
    authority = CertificateAuthority(place)
    pair = authority.issue("localhost")
    both = place / "both.pem"
    both.write_text(Path(pair.certificate).read_text() + Path(pair.key).read_text())
    with (
        haproxy(place / "haproxy", f"mode http\n  {WHO}", options=f"accept-proxy ssl crt {both}") as port,
        relay(place, "--to", f"tls://localhost:{port}", "--insecure", "--send-proxy", "v2") as program,
    ):
        seen = curl("--interface", "127.0.0.5", f"http://127.0.0.1:{program.port}/")
    assert seen.decode() == f"127.0.0.5 127.0.0.1:{program.port}"


@contextmanager
def behind_a_proxy(place: Path) -> Iterator[Program]:
    """A relay that demands a PROXY line, before a server that answers in capitals."""
    with (
        listening(upper) as server,
        relay(place, "--to", f"127.0.0.1:{server}", "--proxy-from", "127.0.0.1") as program,
    ):
        yield program


@pytest.mark.parametrize("word", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"])
def test_we_read_what_haproxy_writes(place: Path, word: str) -> None:
    with behind_a_proxy(place) as program:
        back = f"backend back\n  mode tcp\n  server s 127.0.0.1:{program.port} {word}"
        with haproxy(place / "haproxy", "mode tcp\n  default_backend back", back) as port:
            assert run("nc", "-N", "-s", "127.0.0.6", "127.0.0.1", str(port), stdin=b"hello") == b"HELLO"
        [line] = program.log(1)
    assert (line["client"], line["status"]) == ("127.0.0.6", 200)


def test_we_read_what_nginx_writes(place: Path) -> None:
    with behind_a_proxy(place) as program:
        directives = f"proxy_pass 127.0.0.1:{program.port}; proxy_protocol on; proxy_half_close on;"
        with nginx_stream(place / "nginx", directives) as port:
            assert run("nc", "-N", "-s", "127.0.0.7", "127.0.0.1", str(port), stdin=b"hello") == b"HELLO"
        [line] = program.log(1)
    assert (line["client"], line["status"]) == ("127.0.0.7", 200)


def test_haproxy_before_a_gateway_says_who_asks(place: Path, site: Nginx) -> None:
    config = place / "gateway.toml"
    log = place / "access.log"
    config.write_text(
        f"""
        [log]
        access = "{log}"
        format = "json"
        [[listener]]
        address = "127.0.0.1:0"
        role = "gateway"
        upstream = "site"
        proxy_protocol_from = ["127.0.0.1"]
        [[upstream]]
        name = "site"
        servers = ["127.0.0.1:{site.port}"]
        """
    )
    with Program(place / "gateway", "run", str(config)) as gateway:
        back = f"backend back\n  mode tcp\n  server s 127.0.0.1:{gateway.port} send-proxy-v2"
        with haproxy(place / "haproxy", "mode tcp\n  default_backend back", back) as port:
            page = curl("--interface", "127.0.0.8", f"http://127.0.0.1:{port}/index.html")
        assert page == (place / "site/index.html").read_bytes()
        wait_until(lambda: '"client":"127.0.0.8"' in log.read_text(), "the client's address in the log")


# --- much ------------------------------------------------------------------------------------------------------------


def resident_bytes(pid: int) -> int:
    """The most memory that the process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def pass_on(place: Path, blocks: int) -> int:
    """Send so many MiB through a relay, check every byte; how much memory that took beyond the first MiB."""
    block = random.Random(3).randbytes(1 << 20)
    seen: list[str] = []

    def sink(connection: socket.socket) -> None:
        digest, buffer = hashlib.sha256(), bytearray(1 << 18)
        while size := connection.recv_into(buffer):
            digest.update(memoryview(buffer)[:size])
        seen.append(digest.hexdigest())
        connection.sendall(b"done")

    expected = hashlib.sha256()
    with listening(sink) as server, relay(place, "--to", f"127.0.0.1:{server}") as program:
        [worker] = children_of(program.process.pid)
        assert run("nc", "-N", "127.0.0.1", str(program.port), stdin=block) == b"done"
        before = resident_bytes(worker)
        with socket.create_connection(("127.0.0.1", program.port), DEADLINE_S) as client:
            for _ in range(blocks):
                client.sendall(block)
                expected.update(block)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(10) == b"done"
        grown = resident_bytes(worker) - before
        [_, line] = program.log(2)
    assert seen[1] == expected.hexdigest()
    assert line["bytes_in"] == blocks << 20
    return grown


def test_much_passes_in_little_memory(place: Path) -> None:
    assert pass_on(place, 200) < 4 << 20


def test_f14_a_server_that_does_not_read_holds_its_client_up_and_nothing_is_piled_up(place: Path) -> None:
    may_read = threading.Event()
    read: list[int] = []

    def slow(connection: socket.socket) -> None:
        assert may_read.wait(DEADLINE_S)
        read.append(len(all_of(connection)))

    block = bytes(1 << 16)
    with listening(slow) as server, relay(place, "--to", f"127.0.0.1:{server}") as program:
        [worker] = children_of(program.process.pid)
        with socket.create_connection(("127.0.0.1", program.port), DEADLINE_S) as client:
            client.settimeout(1.0)  # nothing is taken for so long: it is being held up
            before, sent = resident_bytes(worker), 0
            with contextlib.suppress(TimeoutError):
                while sent < 1 << 28:
                    sent += client.send(block)
            assert sent < 1 << 27, "the kernel's buffers are smaller than that; somebody has piled it up"
            grown = resident_bytes(worker) - before
            may_read.set()
            client.shutdown(socket.SHUT_WR)
            [line] = program.log(1)
        wait_until(lambda: bool(read), "the server has read everything")
    assert read == [sent]
    assert line["bytes_in"] == sent
    assert grown < 2 << 20


# --- before anything runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "127.0.0.1:9000"], '--to "127.0.0.1:9000": is this relay itself'),
        (["--to", "tls://"], "names no host"),
        (["--to", "localhost:9000"], "is this relay itself"),
        (["--to", "tls://127.0.0.1:9000"], "is this relay itself"),
        (["--to", "127.0.0.1:70000"], "is not a port"),
        (["--to", "127.0.0.1:0"], "a port that is not 0"),
        (["--to", "127.0.0.1"], "has no port"),
        (["--to", "ftp://127.0.0.1:21"], "a scheme that is not spoken here"),
        (["--to", "127.0.0.1:9001", "--proxy-from", "300.1.1.1"], '--proxy-from "300.1.1.1"'),
        (["--to", "127.0.0.1:9001", "--tls-certificate", "/nowhere"], "--tls-certificate"),
        ([], "--to"),
    ],
)
def test_what_cannot_run_is_refused_in_one_sentence(place: Path, arguments: list[str], sentence: str) -> None:
    done = interpose("relay", "--listen", "127.0.0.1:9000", "--state", str(place), *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_name_is_warned_of_and_the_relay_serves(place: Path) -> None:
    servers = ("--to", "nobody.invalid:9", "--to")
    with listening(upper) as server, relay(place, *servers, f"127.0.0.1:{server}") as program:
        program.says("The name 'nobody.invalid' has no address.")
        assert run("nc", "-N", "127.0.0.1", str(program.port), stdin=b"hello") == b"HELLO"
