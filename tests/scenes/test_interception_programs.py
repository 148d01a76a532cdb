"""The real program looks into what Chromium and curl ask for, who trust it as their owners would have them do."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright
from tests.scenes.test_browser import CHROMIUM, DEADLINE_MS, FLAGS, SOCKET, talk
from tests.support.background import in_background
from tests.support.certificates import CertificateAuthority
from tests.support.intercepting import served_with
from tests.support.nginx import Nginx
from tests.support.program import NAME, Program, interpose, wait_until
from tests.support.raw_origin import RawOrigin
from tests.support.site import EXPECTED, WHAT_CAME, make_site


def run(*command: str, **options: object) -> str:
    """What a command prints; it must end well."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    text: str = done.stdout
    return text


def test_chromium_and_curl_are_looked_into_and_see_no_difference(tmp_path: Path) -> None:
    root = tmp_path / "site"
    root.mkdir()
    paths = make_site(root)
    origins = CertificateAuthority(tmp_path, "Origins")
    identity = origins.issue("127.0.0.1")
    state, home = tmp_path / "state", tmp_path / "home"
    made = interpose("ca", "init", "--state", str(state), "--permit", "127.0.0.0/8")
    assert made.returncode == 0, made.stderr
    ours = tmp_path / "ours.pem"
    ours.write_text(interpose("ca", "export", "--state", str(state)).stdout)
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    run("certutil", "-d", f"sql:{database}", "-N", "--empty-password")
    run("certutil", "-d", f"sql:{database}", "-A", "-t", "C,,", "-n", "interpose", "-i", str(ours))
    believes = {**os.environ, "SSL_CERT_FILE": origins.file}
    with (
        Nginx(tmp_path / "nginx", root, certificate=identity) as site,
        in_background(lambda: RawOrigin(talk, tls=served_with(identity))) as sockets,
        Program(tmp_path, "proxy", "--intercept", "*", "--workers", "2", env=believes) as program,
        sync_playwright() as playwright,
    ):
        flags = [*FLAGS, f"--proxy-server={program.url}"]
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=flags, env={**os.environ, "HOME": str(home)}
        )
        page = browser.new_page()
        page.set_default_timeout(DEADLINE_MS)
        page.goto(f"https://127.0.0.1:{site.tls_port}/")
        page.wait_for_function("document.title === 'loaded'")
        assert page.evaluate(WHAT_CAME) == EXPECTED
        address = f"wss://{sockets.address}/socket"
        assert page.evaluate(SOCKET, address) == [5, 70000, 1000, "enough", True]
        browser.close()

        url = f"https://127.0.0.1:{site.tls_port}/data.json"
        curl = ("curl", "-sS", "-x", program.url)
        thrown_away = ("-o", "/dev/null")
        shown = ("-w", "%{http_code} %{num_connects} ")
        codes = run(*curl, "--cacert", str(ours), *shown, *thrown_away, url, *thrown_away, url)
        assert codes == "200 1 200 0 "
        assert "looks into TLS" in run(*curl, "--noproxy", "*", f"{program.url}/certificate")
        assert run(*curl, "--noproxy", "*", f"{program.url}/ca.pem") == ours.read_text()

        refused = subprocess.run([*curl, "--cacert", origins.file, url], capture_output=True, timeout=20, check=False)
        assert refused.returncode == 60  # "peer certificate cannot be authenticated with known CA certificates"
        at = ("--name", NAME, "--state", str(state))

        def learned() -> list[dict[str, object]]:
            rows: list[dict[str, object]] = json.loads(interpose("ca", "learned", "--json", *at).stdout)["learned"]
            return rows

        wait_until(lambda: [row["workers"] for row in learned()] == [2], "both workers know what curl refused")
        assert [(row["client"], row["host"]) for row in learned()] == [("127.0.0.1", "127.0.0.1")]
        assert run(*curl, "--cacert", origins.file, "-o", "/dev/null", "-w", "%{http_code}", url) == "200"
        assert interpose("ca", "forget", "127.0.0.1", *at).stdout.startswith("1 forgotten")
        assert learned() == []
        wait_until(lambda: counted(at)["passed_tunnels_total"] == 1, "the tunnel that passed is counted")
        assert 1 <= counted(at)["minted_certificates_total"] <= 2  # in each worker at most one
    log = program.log()
    inner = [line for line in log if line["method"] != "CONNECT"]
    seen = [
        urlsplit(line["target"]).path for line in inner if line["status"] == 200 and "curl" not in line["user_agent"]
    ]
    assert sorted(seen) == sorted(paths)
    assert [line["status"] for line in inner if line["target"].endswith("/socket")] == [101]
    assert all(line["target"].startswith(("https://127.0.0.1:", "http://127.0.0.1:")) for line in inner)


def counted(at: tuple[str, ...]) -> dict[str, float]:
    counters: dict[str, float] = json.loads(interpose("status", "--json", *at).stdout)["counters"]
    return counters


def test_one_command_trusts_an_authority_that_is_gone_with_it(tmp_path: Path) -> None:
    origins = CertificateAuthority(tmp_path, "Origins")
    log = tmp_path / "exec.log"
    script = 'echo "$SSL_CERT_FILE"; curl -sS -o /dev/null -w "%{http_code} %{ssl_verify_result}" "$1"'
    with in_background(lambda: RawOrigin(talk, tls=served_with(origins.issue("127.0.0.1")))) as origin:
        done = interpose(
            "exec", "--intercept", "host:127.0.0.1", "--log", str(log), "--log-format", "json",
            "--", "sh", "-c", script, "sh", f"https://{origin.address}/",
            env={**os.environ, "SSL_CERT_FILE": origins.file, "INTERPOSE_STATE": str(tmp_path / "state")},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    bundle, said = done.stdout.split("\n")
    assert said == "200 0"
    assert not Path(bundle).parent.exists()
    assert not (tmp_path / "state" / "ca").exists()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["method"] for line in lines] == ["GET", "CONNECT"]


def test_a_proxy_without_an_authority_does_not_start_and_says_what_makes_one(tmp_path: Path) -> None:
    done = interpose("proxy", "--intercept", "*", "--no-console", "--state", str(tmp_path))
    assert done.returncode == 2
    assert "`interpose ca init` makes one" in done.stderr
