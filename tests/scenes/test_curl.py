"""curl on its way through proxy and gateway to nginx: what comes must be what comes without them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.background import in_background
from tests.support.certificates import CertificateAuthority, Pair
from tests.support.nginx import Nginx
from tests.support.program import Program, interpose, wait_until
from tests.support.raw_origin import RawOrigin, answering
from tests.support.site import make_files

DEADLINE_S = 30
USERS = "ann:$2b$04$14J0ko8z6XFtMuC3vUxFzO8rFIHeYSHQgogaBraW4cZ7DOiCwV12q\n"  # pass word
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
# What differs between two answers to the same request, or from one hop to the next.
OF_THE_HOP = {"via", "date", "connection", "keep-alive"}


class Fetched(NamedTuple):
    """What curl got: the last status, all fields of the last head in lower case but those of the hop, the content."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key == name), None)


class Refused(Exception):
    """curl ended with another status than 0."""


def curl(*arguments: str, stdin: bytes = b"") -> Fetched:
    """Run curl to its end."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", str(DEADLINE_S), "--suppress-connect-headers", "-i", *arguments],
        input=stdin, capture_output=True, env=ENVIRONMENT, timeout=DEADLINE_S + 5, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Refused(done.returncode, done.stderr.decode())
    rest = done.stdout
    while True:
        head, _, rest = rest.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        if status >= 200:
            break
    lines = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:]]
    return Fetched(status, [(k.lower(), v) for k, _, v in lines if k.lower() not in OF_THE_HOP], rest)


class Stage(NamedTuple):
    """What stands ready for every scene: an origin with files, a proxy, and a gateway before the origin."""

    root: Path
    origin: Nginx
    proxy: Program
    gateway: Program
    authority: CertificateAuthority

    @property
    def direct(self) -> str:
        return f"http://127.0.0.1:{self.origin.port}"

    @property
    def direct_tls(self) -> str:
        return f"https://127.0.0.1:{self.origin.tls_port}"


EXTRA = """
    location /coded/ { gzip on; gzip_proxied any; gzip_min_length 1; gzip_types *; alias %s/; }
    location /moved { absolute_redirect off; return 302 /files/0/0.bin; }
    location /quiet { return 204; }
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("curl")
    root = directory / "root"
    root.mkdir()
    make_files(root, 200)
    authority = CertificateAuthority(directory)
    certificate = authority.issue("127.0.0.1")
    with (
        Nginx(directory / "nginx", root, certificate=certificate, extra=EXTRA % root) as origin,
        Program(directory / "a", "proxy") as proxy,
        Program(directory / "b", "gateway", f"127.0.0.1:{origin.port}") as gateway,
    ):
        yield Stage(root, origin, proxy, gateway, authority)


@pytest.fixture(params=["proxy", "tunnel", "gateway"])
def way(request: pytest.FixtureRequest, stage: Stage) -> tuple[list[str], str, str]:
    """Arguments that lead curl through Interpose, the address to ask there, and the origin's own."""
    trust = ["--cacert", stage.authority.file]
    if request.param == "proxy":
        return ["-x", stage.proxy.url], stage.direct, stage.direct
    if request.param == "tunnel":
        return ["-x", stage.proxy.url, *trust], stage.direct_tls, stage.direct_tls
    return [], stage.gateway.url, stage.direct


Way = tuple[list[str], str, str]

REQUESTS = {
    "a file": ["{}/files/4/25.bin"],
    "an empty file": ["{}/files/0/0.bin"],
    "a part": ["-r", "1000-70000", "{}/files/5/26.txt"],
    "the end": ["-r", "-17", "{}/files/5/26.txt"],
    "three parts": ["-r", "0-9,100-199,5000-5999", "{}/files/5/26.txt"],
    "more parts than it gives": ["-r", "0-1,3-4,6-7,9-10,12-13", "{}/files/5/26.txt"],
    "a part beyond the end": ["-r", "99999999-", "{}/files/5/26.txt"],
    "only the head": ["-I", "{}/files/5/26.txt"],
    "only the head of a part": ["-I", "-r", "0-9", "{}/files/5/26.txt"],
    "only the head of what is not there": ["-I", "{}/none"],
    "what is not there": ["{}/none"],
    "HTTP/1.0": ["--http1.0", "{}/files/4/25.bin"],
    "HTTP/1.0, kept alive": ["--http1.0", "-H", "Connection: keep-alive", "{}/files/4/25.bin"],
    "a method nobody knows": ["-X", "BREW-coffee", "{}/files/4/25.bin"],
    "a method of WebDAV": ["-X", "PROPFIND", "-d", "<a/>", "{}/files/4/25.bin"],
    "a form": ["-d", "a=1&b=2", "{}/files/4/25.bin"],
    "OPTIONS": ["-X", "OPTIONS", "{}/files/4/25.bin"],
    "a redirection": ["{}/moved"],
    "nothing at all": ["{}/quiet"],
    "compressed as it is made": ["-H", "Accept-Encoding: gzip", "{}/coded/files/5/26.txt"],
    "a query as it was written": ["{}/files/4/25.bin?a=%2f..%2F&b=//x/../y&c=%41"],
    "not since then": ["-z", "2999-01-01", "{}/files/4/25.bin"],
    "an old wish to close": ["-H", "Connection: close", "{}/files/4/25.bin"],
}


@pytest.mark.parametrize("arguments", REQUESTS.values(), ids=REQUESTS.keys())
def test_an_answer_is_what_it_is_without_us(way: Way, arguments: list[str]) -> None:
    through, there, direct = way
    came = curl(*through, *(argument.format(there) for argument in arguments))
    wanted = curl(*(through[2:] if "--cacert" in through else []), *(argument.format(direct) for argument in arguments))
    if "multipart" in (wanted.get("content-type") or ""):  # its boundary is made anew each time
        came, wanted = with_boundary_x(came), with_boundary_x(wanted)
    assert came.status == wanted.status
    assert moved(came.fields, there) == moved(wanted.fields, direct)
    assert came.body == wanted.body


def with_boundary_x(fetched: Fetched) -> Fetched:
    boundary = (fetched.get("content-type") or "").partition("boundary=")[2]
    fields = [(name, value.replace(boundary, "X")) for name, value in fetched.fields]
    return Fetched(fetched.status, fields, fetched.body.replace(boundary.encode(), b"X"))


def moved(fields: list[tuple[str, str]], address: str) -> list[tuple[str, str]]:
    """Fields in an order of their own, with `address` in them made neutral."""
    return sorted((name, value.replace(address, "http://origin")) for name, value in fields)


def test_what_has_not_changed_is_not_sent_again(way: Way) -> None:
    through, there, _ = way
    url = f"{there}/files/4/25.bin"
    tag = curl(*through, url).get("etag")
    again = curl(*through, "-H", f"If-None-Match: {tag}", url)
    assert (again.status, again.body, again.get("etag")) == (304, b"", tag)


def test_200_files_come_whole_with_ranges_and_heads(stage: Stage, tmp_path: Path) -> None:
    paths = sorted(f"/{path.relative_to(stage.root)}" for path in stage.root.rglob("files/*/*.*"))
    assert len(paths) == 200
    told = {}
    for name, url in (("direct", stage.direct), ("through", stage.gateway.url)):
        (tmp_path / name).mkdir()
        lines = []
        for number, path in enumerate(paths):
            size = (stage.root / path[1:]).stat().st_size
            for kind, option in (("whole", None), ("part", f"range = {size // 3}-{size // 3 * 2}"), ("head", "head")):
                lines += [f'url = "{url}{path}"', f'output = "{tmp_path / name / f"{number}.{kind}"}"', option or ""]
                lines += [f'dump-header = "{tmp_path / name / f"{number}.{kind}.fields"}"']
                lines += [r'write-out = "%{http_code} %{size_download} %{num_connects}\n"', "next"]
        file = tmp_path / f"{name}.curlrc"
        file.write_text("\n".join(lines[:-1]))
        done = subprocess.run(
            ["curl", "-sS", "--max-time", str(DEADLINE_S), "-K", str(file)],
            capture_output=True, text=True, env=ENVIRONMENT, timeout=DEADLINE_S, check=True,
        )  # fmt: skip
        told[name] = done.stdout.splitlines()
    assert told["through"] == told["direct"]
    assert {line.split()[0] for line in told["direct"]} == {"200", "206"}
    assert sum(int(line.split()[2]) for line in told["through"]) == 1, "one connection was enough"
    names = {path.name for path in (tmp_path / "direct").iterdir()}
    assert {path.name for path in (tmp_path / "through").iterdir()} == names
    for name in names:
        came, wanted = (tmp_path / where / name for where in ("through", "direct"))
        if name.endswith((".fields", ".head")):
            assert end_to_end(came) == end_to_end(wanted), name
        else:
            assert came.read_bytes() == wanted.read_bytes(), name
    for number, path in enumerate(paths):
        assert (tmp_path / "through" / f"{number}.whole").read_bytes() == (stage.root / path[1:]).read_bytes()


def end_to_end(file: Path) -> list[str]:
    return sorted(line for line in file.read_text().splitlines() if line.partition(":")[0].lower() not in OF_THE_HOP)


# --- uploads ---------------------------------------------------------------------------------------------------------


def test_a_large_upload_waits_for_100_continue_and_arrives_whole(way: Way, stage: Stage, tmp_path: Path) -> None:
    through, there, _ = way
    content = tmp_path / "content"
    content.write_bytes(os.urandom(9 << 20))
    done = subprocess.run(
        ["curl", "-sSv", "--expect100-timeout", "20", *through, "-T", str(content), f"{there}/uploads/large.bin"],
        capture_output=True, env=ENVIRONMENT, timeout=DEADLINE_S, check=True,
    )  # fmt: skip
    said = done.stderr.decode()
    assert re.search(r"^> Expect: 100-continue", said, re.MULTILINE)
    assert re.search(r"^< HTTP/1.1 100", said, re.MULTILINE)
    assert re.search(r"^< HTTP/1.1 20[14]", said, re.MULTILINE)
    assert (stage.root / "uploads/large.bin").read_bytes() == content.read_bytes()


def test_an_upload_of_unknown_length_arrives_whole(way: Way, stage: Stage) -> None:
    through, there, _ = way
    content = os.urandom(700_001)
    sent = curl(*through, "-H", "Expect:", "-T", "-", f"{there}/uploads/chunked.bin", stdin=content)
    assert sent.status in (201, 204)
    assert (stage.root / "uploads/chunked.bin").read_bytes() == content


def test_a_refused_upload_is_refused_before_it_is_sent(stage: Stage, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(bytes(65 << 20))  # nginx takes up to 64 MiB
    done = subprocess.run(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}", "--expect100-timeout", "20",
         "-x", stage.proxy.url, "-T", str(content), f"{stage.direct}/uploads/too-large.bin"],
        capture_output=True, text=True, env=ENVIRONMENT, timeout=DEADLINE_S, check=True,
    )  # fmt: skip
    assert done.stdout == "413 0"


def test_trailers_reach_a_client_that_wants_them() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"5\r\nhello\r\n0\r\nX-Sum: 5d41402a\r\n\r\n"
    )
    with in_background(lambda: RawOrigin(answering(answer))) as origin, Gateway(origin.address) as url:
        wants = subprocess.run(
            ["curl", "-sS", "-D", "-", "-H", "TE: trailers", "-H", "Connection: TE", url],
            capture_output=True, text=True, env=ENVIRONMENT, timeout=DEADLINE_S, check=True,
        ).stdout  # fmt: skip
        assert "X-Sum: 5d41402a" in wants
        assert "hello" in wants
        assert curl(url).get("x-sum") is None


class Gateway:
    """A gateway in this process, on a loop in a thread of its own; entered, it gives its URL."""

    def __init__(self, upstream: str) -> None:
        from interpose import gateway_config, serve

        config = gateway_config([upstream], ["127.0.0.1:0"], log="off")
        self._background = in_background(lambda: serve(config))

    def __enter__(self) -> str:
        return f"http://{self._background.__enter__().addresses['gateway']}"

    def __exit__(self, *exc: object) -> None:
        self._background.__exit__(None, None, None)


# --- who may, and what is said ---------------------------------------------------------------------------------------


def test_a37_a_proxy_asks_for_a_password(stage: Stage, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(USERS)
    url = f"{stage.direct}/files/4/25.bin"
    with Program(tmp_path, "proxy", "--auth", str(users)) as program:
        without = curl("-x", program.url, url)
        assert without.status == 407
        assert (without.get("proxy-authenticate") or "").startswith("Basic ")
        assert curl("-x", program.url, "-U", "ann:wrong", url).status == 407
        assert curl("-x", program.url, "-U", "ann:pass word", url).status == 200
        asked_first = curl("-x", program.url, "--proxy-anyauth", "-U", "ann:pass word", url)
        assert (asked_first.status, b"HTTP/1.1 200 OK" in asked_first.body) == (407, True)
        through = ["-x", program.url, "--cacert", stage.authority.file]
        with pytest.raises(Refused, match="407"):
            curl(*through, f"{stage.direct_tls}/files/4/25.bin")
        assert curl(*through, "-U", "ann:pass word", f"{stage.direct_tls}/files/4/25.bin").status == 200
    log = program.log()
    assert [line.get("user") for line in log if line["status"] == 200] == ["ann"] * 3
    written = program.log_file.read_text() + program.said
    assert "pass word" not in written
    assert "YW5uOnBhc3Mgd29yZA" not in written


@pytest.mark.parametrize(
    ("accept", "media_type", "beginning"),
    [
        ("*/*", "text/plain", b"502 Bad Gateway: "),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html", b"<!DOCTYPE html>"),
        ("application/json", "application/json", b'{"status":502,'),
    ],
)
def test_an_error_is_told_in_the_form_that_the_client_reads(
    stage: Stage, accept: str, media_type: str, beginning: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    told = curl("-x", stage.proxy.url, "-H", f"Accept: {accept}", f"http://127.0.0.1:{port}/")
    assert told.status == 502
    assert (told.get("content-type") or "").partition(";")[0] == media_type
    assert (told.get("proxy-status") or "").startswith("interpose; error=connection_refused")
    assert told.body.startswith(beginning)
    assert f"127.0.0.1:{port}".encode() in told.body


def test_the_proxy_tells_who_asks_it_how_to_use_it(stage: Stage) -> None:
    page = curl(stage.proxy.url)
    assert (page.status, f"curl -x {stage.proxy.url}".encode() in page.body) == (200, True)
    script = curl(f"{stage.proxy.url}/proxy.pac")
    assert script.get("content-type") == "application/x-ns-proxy-autoconfig"
    assert f"PROXY 127.0.0.1:{stage.proxy.port}".encode() in script.body
    assert curl(f"{stage.proxy.url}/other").status == 404


# --- listeners -------------------------------------------------------------------------------------------------------


def test_f19_a_replaced_certificate_is_served_without_a_restart(stage: Stage, tmp_path: Path) -> None:
    first = stage.authority.issue("127.0.0.1", "first.test")
    second = stage.authority.issue("127.0.0.1", "second.test")
    identity = Pair(str(tmp_path / "web.pem"), str(tmp_path / "web.key"))

    def install(pair: Pair) -> None:
        for source, place in zip(pair, identity, strict=True):
            shutil.copy(source, f"{place}.new")
            os.replace(f"{place}.new", place)

    install(first)
    options = ("--tls-certificate", identity.certificate, "--tls-key", identity.key)
    with Program(tmp_path, "gateway", f"127.0.0.1:{stage.origin.port}", *options) as program:
        assert program.url.startswith("https://")
        trust = ["--cacert", stage.authority.file]
        assert curl(*trust, f"{program.url}/files/4/25.bin").status == 200
        resolve = ["--resolve", f"second.test:{program.port}:127.0.0.1"]
        at_second = f"https://second.test:{program.port}/files/4/25.bin"
        with pytest.raises(Refused, match=r"second\.test"):
            curl(*trust, *resolve, at_second)

        install(second)

        def is_second() -> bool:
            try:
                return curl(*trust, *resolve, at_second).status == 200
            except Refused:
                return False

        wait_until(is_second, "the new certificate is served", 10)


def test_unix_sockets_on_both_sides(stage: Stage, tmp_path: Path) -> None:
    door, there = tmp_path / "door.sock", tmp_path / "origin.sock"
    with (
        Nginx(tmp_path / "nginx", stage.root, unix=there),
        Program(tmp_path, "gateway", f"unix:{there}", "--listen", f"unix:{door}") as program,
    ):
        assert program.ready[0]["address"] == f"unix:{door}"
        came = curl("--unix-socket", str(door), "http://any.test/files/4/25.bin")
        assert (came.status, came.body) == (200, (stage.root / "files/4/25.bin").read_bytes())
    assert [line["target"] for line in program.log()] == ["http://any.test/files/4/25.bin"]
    assert not door.exists()


CONFIGURATION = """
[process]
workers = 2

[log]
access = {log}

[[listener]]
name = "public"
address = "127.0.0.1:0"
role = "gateway"
upstream = "files"

[[listener]]
name = "inside"
address = "127.0.0.1:0"
role = "gateway"
upstream = "files"
trusted = ["127.0.0.1"]

[[listener]]
name = "out"
address = "127.0.0.1:0"
role = "proxy"

[[upstream]]
name = "files"
servers = ["127.0.0.1:{port}"]

[[upstream]]
name = "sealed"
servers = ["https://127.0.0.1:{tls_port}"]
ca_file = {ca_file}

[[upstream]]
name = "distrusted"
servers = ["https://127.0.0.1:{tls_port}"]

[[route]]
name = "alive"
path = "/alive"
exact = true
answer = {{ text = "yes" }}

[[route]]
name = "inside only"
listeners = ["inside"]
path = "/alive"
answer = {{ text = "inside" }}

[[route]]
name = "sealed"
hosts = ["*.sealed.test"]
upstream = "sealed"

[[route]]
name = "distrusted"
hosts = ["distrusted.test"]
upstream = "distrusted"

[[route]]
name = "read only"
path = "/uploads"
methods = ["PUT", "DELETE"]
answer = {{ status = 403, text = "no" }}
"""


def test_several_listeners_and_routes_of_one_file(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "interpose.toml"
    file.write_text(
        CONFIGURATION.format(
            log=json.dumps(str(tmp_path / "access.log")),
            port=stage.origin.port,
            tls_port=stage.origin.tls_port,
            ca_file=json.dumps(stage.authority.file),
        )
    )
    checked = interpose("check", str(file))
    assert checked.returncode == 0, checked.stderr
    for name in ("public", "inside", "out", "alive", "inside only", "sealed", "distrusted", "read only"):
        assert name in checked.stdout
    wanted = (stage.root / "files/4/25.bin").read_bytes()
    with Program(tmp_path, "run", str(file), listeners=3) as program:
        public, inside, out = (program.urls[name] for name in ("public", "inside", "out"))
        assert curl(f"{public}/files/4/25.bin").body == wanted
        assert curl("-x", out, f"{stage.direct}/files/4/25.bin").body == wanted
        assert curl(f"{public}/alive").body == b"yes"
        assert curl(f"{inside}/alive").body == b"yes"
        assert curl(f"{inside}/alive/x").body == b"inside"
        assert curl(f"{public}/alive/x").status == 404
        assert curl("-H", "Host: a.sealed.test", f"{public}/files/4/25.bin").body == wanted
        refused = curl("-H", "Host: distrusted.test", f"{public}/files/4/25.bin")
        assert (refused.status, refused.get("proxy-status")) != (200, None)
        assert "tls_certificate_error" in (refused.get("proxy-status") or "")
        assert curl("-T", str(file), f"{public}/uploads/x").status == 403
        assert curl(f"{public}/uploads/x").status == 404
    assert {line["listener"] for line in program.log()} == {"public", "inside", "out"}
