"""A gateway in TLS between programs that others have written: nginx behind it, wrk and curl before it."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.certificates import CertificateAuthority
from tests.support.nginx import Nginx
from tests.support.program import NAME, Program, interpose, wait_until

from interpose.cli import control_client

FILE = """\
[process]
workers = 2

[log]
access = "off"

[metrics]
address = "127.0.0.1:0"

[[listener]]
name = "web"
address = "127.0.0.1:0"
role = "gateway"
upstream = "pages"

[listener.tls]
certificate = "{certificate}"
key = "{key}"
{tls}

[[upstream]]
name = "pages"
servers = [{servers}]
balance = "least_active"
check = {{ path = "/index.html", interval_s = 1 }}
"""


@contextmanager
def gateway(directory: Path, origins: list[Nginx], tls: str = "") -> Iterator[Program]:
    """A gateway before these servers, for `shop.test`."""
    authority = CertificateAuthority(directory)
    certificate, key = authority.issue("shop.test")
    servers = ", ".join(f'"127.0.0.1:{origin.port}"' for origin in origins)
    file = directory / "gateway.toml"
    file.write_text(FILE.format(certificate=certificate, key=key, servers=servers, tls=tls))
    with Program(directory / "run", "run", str(file), listeners=2) as program:
        yield program


@contextmanager
def wrk(program: Program, directory: Path) -> Iterator[None]:
    """Sixteen connections that ask some 500 times a second, until left; every answer must have been whole and a 200."""
    pace = directory / "pace.lua"
    pace.write_text('wrk.headers["Host"] = "shop.test"\nfunction delay() return 30 end\n')
    command = ["wrk", "-t1", "-c16", "-d60s", "--timeout", "10s", "-s", str(pace), f"{program.url}/index.html"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=20)
    finally:
        running.kill()
        running.wait(20)
    assert running.returncode == 0, said
    assert int(re.search(r"(\d+) requests in", said)[1]) > 500  # type: ignore[index]
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said


def states(program: Program, origin: Nginx) -> set[str]:
    """What the workers find that a server is."""
    control = program.state / NAME / "control.sock"
    rows = asyncio.run(control_client.ask(control, "GET", "/v1/upstreams", 20.0)).content["servers"]
    [row] = [row for row in rows if row["server"].endswith(f":{origin.port}")]
    return set(row["workers"])


def test_f24_f16_nginx_servers_are_killed_slowed_and_restarted_and_who_asks_in_tls_never_hears_of_it(
    tmp_path: Path,
) -> None:
    """wrk asks over TLS all the while; a reload comes in between as well."""
    (tmp_path / "index.html").write_text("<p>" + "page " * 200)
    with ExitStack() as stack:
        origins = [stack.enter_context(Nginx(tmp_path / f"nginx{number}", tmp_path)) for number in range(3)]

        def more(origin: Nginx, count: int) -> None:
            before = len(origin.requests)
            wait_until(lambda: len(origin.requests) >= before + count, f"{count} more requests")

        one, two, three = origins
        program = stack.enter_context(gateway(tmp_path, origins))
        with wrk(program, tmp_path):
            for origin in origins:
                more(origin, 50)
            one.kill()
            wait_until(lambda: states(program, one) == {"down"}, "checks find out")
            two.pause()
            more(three, 100)
            two.go_on()
            more(two, 50)
            one.start()
            wait_until(lambda: states(program, one) == {"up"}, "checks find out that it is back")
            more(one, 50)
            assert interpose("reload", "--state", str(program.state), "--name", NAME).returncode == 0
            for origin in origins:
                more(origin, 50)


def test_a25_curl_shows_a_certificate_or_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "index.html").touch()
    who = 'location = /who { return 200 "$http_x_client_cert_subject"; }'
    authorities = []
    for name in ("clients", "elsewhere"):
        (tmp_path / name).mkdir()
        authorities.append(CertificateAuthority(tmp_path / name))
    known, unknown = [authority.issue("ann", client=True) for authority in authorities]
    tls = f'client_certificate = "require"\nclient_ca = "{authorities[0].file}"\nclient_fields = ["subject"]'
    with Nginx(tmp_path / "nginx", tmp_path, extra=who) as origin, gateway(tmp_path, [origin], tls) as program:
        host = f"shop.test:{program.port}"
        base = ["curl", "-sS", "--resolve", f"{host}:127.0.0.1", "--cacert", str(tmp_path / "test-authority.pem")]

        def curl(*arguments: str) -> tuple[int, str]:
            done = subprocess.run(
                [*base, *arguments, f"https://{host}/who"], capture_output=True, text=True, timeout=20
            )
            return done.returncode, done.stdout

        claim = ("-H", "X-Client-Cert-Subject: CN=admin")
        assert curl("--cert", known.certificate, "--key", known.key, *claim) == (0, "CN=ann")
        assert curl("--cert", unknown.certificate, "--key", unknown.key)[1] == ""
        status, answer = curl(*claim)
        assert status != 0
        assert answer == ""
        assert [line for line in origin.requests if "/who" in line] == ["GET /who 200"]  # the others are checks
