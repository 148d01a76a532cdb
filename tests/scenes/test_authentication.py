"""Who somebody is, as clients, services and origins see it."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import msgspec
import pytest
from tests.scenes import judge
from tests.support.background import in_background
from tests.support.certificates import CertificateAuthority
from tests.support.product import Product, product
from tests.support.program import NAME as NAME_OF_RUN
from tests.support.program import Program, interpose, wait_until
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering
from tests.support.tokens import AUDIENCE, NAME, Issuer, by_hand, key_set

from interpose.config.load import config_of
from interpose.config.model import Config

SCRIPTS = Path(__file__).parents[2] / "examples" / "scripts"
SCRIPT = """
import interpose

@interpose.authenticator
async def who(exchange, request):
    key = request.fields.get("X-Key")
    return interpose.Identity("robot", ("machines",)) if key == "open sesame" else None
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with users, groups, keys and a script."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "users").write_text(f"anna:{hashed}\nbert:{hashed}\n")
    (tmp_path / "groups").write_text("staff: anna\n")
    (tmp_path / "who.py").write_text(SCRIPT)
    return tmp_path


def configured(base: Path, origin: RawOrigin | None, role: str = "gateway", **tables: Any) -> Config:
    """One listener before `origin`; `listener` adds to its table."""
    listener = {"name": "main", "address": "127.0.0.1:0", "role": role, **tables.pop("listener", {})}
    config: dict[str, Any] = {"listener": [listener], **tables}
    if origin is not None and role == "gateway":
        config["upstream"] = [{"name": "up", "servers": [origin.address]}]
        if "route" not in tables:
            listener["upstream"] = "up"
    return config_of(config, base=base)


USERS = {"name": "users", "kind": "passwords", "file": "users", "groups_file": "groups"}
TOKENS = {"name": "tokens", "kind": "jwt", "issuer": NAME, "audience": [AUDIENCE], "jwks_file": "jwks.json"}
KEYS = {"name": "keys", "kind": "script", "script": "who.py"}


async def curl(*arguments: str) -> str:
    """The statuses that curl saw, each with its content: `200 ok`."""
    command = ("curl", "-sS", "--noproxy", "", "--max-time", "15", "-w", " %{http_code}", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        printed, _ = await process.communicate()
    return printed.decode().rpartition(" ")[2]


async def test_curl_shows_who_it_is_to_a_gateway(files: Path) -> None:
    issuer = Issuer()
    (files / "jwks.json").write_bytes(issuer.jwks())
    names = {"authentication": ["users", "keys", "tokens"]}
    async with RawOrigin(answering(OK)) as origin:
        config = configured(files, origin, listener=names, authentication=[USERS, TOKENS, KEYS])
        async with product(config) as running:
            url = f"http://{running.address()}/"
            assert await curl("-u", "anna:secret", url) == "200"
            assert await curl("-u", "anna:wrong", url) == "401"
            assert await curl("--anyauth", "-u", "bert:secret", url) == "200"
            assert await curl("-H", f"Authorization: Bearer {issuer.token()}", url) == "200"
            assert await curl("--oauth2-bearer", issuer.token(exp=1), url) == "401"
            assert await curl("-H", "X-Key: open sesame", url) == "200"
            nobody = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
    assert nobody.status == 401
    assert [value for name, value in nobody.fields if name.lower() == "www-authenticate"] == [
        'Basic realm="Interpose", charset="UTF-8"',
        'Bearer realm="Interpose"',
    ]
    assert [line.get("user") for line in running.log if line["status"] == 200] == ["anna", "bert", "anna", "robot"]
    assert origin.received.count(b"uthorization: ") == 3


async def test_curl_shows_who_it_is_to_a_proxy(files: Path) -> None:
    issuer = Issuer()
    (files / "jwks.json").write_bytes(issuer.jwks())
    names = {"authentication": ["users", "tokens"]}
    async with RawOrigin(answering(OK)) as origin:
        config = configured(files, None, "proxy", listener=names, authentication=[USERS, TOKENS])
        async with product(config) as running:
            through = ("-x", f"http://{running.address()}", f"http://{origin.address}/")
            bearer = f"Proxy-Authorization: Bearer {issuer.token()}"
            assert await curl("--proxy-user", "anna:secret", "-H", "Authorization: for the origin", *through) == "200"
            assert await curl("--proxy-header", bearer, *through) == "200"
            assert await curl("--proxy-header", bearer, "--proxytunnel", *through) == "200"
            assert await curl("--proxy-user", "anna:wrong", *through) == "407"
            assert await curl("-H", f"Authorization: Bearer {issuer.token()}", *through) == "407"
    assert b"Proxy-Authorization" not in origin.received
    assert origin.received.count(b"Authorization: for the origin\r\n") == 1
    assert [line.get("user") for line in running.log] == ["anna", "anna", "anna", None, None]


async def test_the_example_knows_programs_by_their_keys(files: Path) -> None:
    table = {**KEYS, "script": str(SCRIPTS / "know_keys.py")}
    async with RawOrigin(answering(OK)) as origin:
        config = configured(files, origin, listener={"authentication": ["keys"]}, authentication=[table])
        async with product(config) as running:
            statuses = [
                (await get(running, "/", *lines)).status for lines in (["X-Api-Key: key"], ["X-Api-Key: x"], [])
            ]
    assert statuses == [200, 401, 401]
    assert [line.get("user") for line in running.log] == ["backup", None, None]
    assert b"Api-Key" not in origin.received


async def test_socks_asks_for_the_passwords(files: Path) -> None:
    names = {"authentication": ["users", "tokens"]}
    (files / "jwks.json").write_bytes(Issuer().jwks())
    async with RawOrigin(answering(OK)) as origin:
        config = configured(files, None, "auto", listener=names, authentication=[USERS, TOKENS])
        async with product(config) as running:
            through = ("--socks5-hostname", running.address(), f"http://{origin.address}/")
            assert await curl("--proxy-user", "anna:secret", *through) == "200"
            assert await curl("--proxy-user", "anna:wrong", *through) == "000"
            assert await curl(*through) == "000"
    assert [line.get("user") for line in running.log if line["status"] == 200] == ["anna"]


async def test_groups_are_what_rules_ask_for(files: Path) -> None:
    rules = [{"when": "group:staff OR group:machines", "action": "allow"}, {"when": "*", "action": "deny"}]
    names = {"authentication": ["keys", "users"]}
    async with RawOrigin(answering(OK)) as origin:
        config = configured(files, origin, listener=names, authentication=[USERS, KEYS], access=rules)
        async with product(config) as running:
            url = f"http://{running.address()}/"
            assert await curl("-u", "anna:secret", url) == "200"
            assert await curl("-u", "bert:secret", url) == "403"
            assert await curl("-H", "X-Key: open sesame", url) == "200"


# --- keys at a URL ---------------------------------------------------------------------------------------------------


class KeyServer(RawOrigin):
    """Gives out the keys of whoever is in `issuers`; with none of them it breaks off."""

    def __init__(self, *issuers: Issuer, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self.serve, tls=tls)
        self.issuers = list(issuers)
        self.asked = 0

    async def serve(self, connection: Connection) -> None:
        while True:
            await connection.request(None)
            self.asked += 1
            if not self.issuers:
                return
            content = key_set(*(issuer.jwk() for issuer in self.issuers))
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content))


async def test_keys_are_changed_while_it_runs(files: Path) -> None:
    old, new = Issuer(kid="old"), Issuer("EdDSA", kid="new")
    async with RawOrigin(answering(OK)) as origin, KeyServer(old) as keys:
        url = f"http://{keys.address}/keys"
        table = {**TOKENS, "jwks_file": None, "jwks_url": url, "least_refresh_s": 0.01, "timeout_s": 5.0}
        table.pop("jwks_file")
        config = configured(files, origin, listener={"authentication": ["tokens"]}, authentication=[table])
        async with product(config) as running:

            async def status(token: str) -> int:
                wire = f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
                return (await ask(running.address(), wire, "GET")).status

            assert await asyncio.gather(*(status(old.token(n=n)) for n in range(5))) == [200] * 5
            assert (keys.asked, await status(new.token()), await status(old.token())) == (1, 401, 200)
            keys.issuers = [new]
            async with asyncio.timeout(5):
                while await status(new.token()) != 200:  # at most so many as fit into a hundredth of a second
                    pass
            assert (await status(new.token()), await status(old.token())) == (200, 401)
            keys.issuers = []
            assert (await status(Issuer(kid="x").token()), await status(new.token(n=1))) == (401, 200)


async def test_without_keys_it_is_503_and_nothing_is_left_behind(files: Path) -> None:
    async def silent(connection: Connection) -> None:
        await connection.gone()

    table = {"name": "tokens", "kind": "jwt", "issuer": NAME}
    for script, timeout_s in ((silent, 0.05), (silent, 5.0), (answering(OK), 5.0)):
        async with RawOrigin(answering(OK)) as origin, RawOrigin(script) as keys:
            own = {**table, "jwks_url": f"http://{keys.address}/", "timeout_s": timeout_s}
            config = configured(files, origin, listener={"authentication": ["tokens"]}, authentication=[own])
            async with product(config) as running, RawClient(running.address()) as client:
                client.send(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {Issuer().token()}\r\n\r\n".encode())
                await keys.connected()
                if timeout_s < 1 or script is not silent:
                    [answer] = await client.answers("GET")
                    assert answer.status == 503
            assert origin.connections == []


async def test_a24_keys_come_from_whoever_the_url_names(files: Path) -> None:
    authority, stranger = CertificateAuthority(files), CertificateAuthority(files, "stranger")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    pair = authority.issue("127.0.0.1")
    context.load_cert_chain(pair.certificate, pair.key)
    issuer = Issuer()
    async with RawOrigin(answering(OK)) as origin, KeyServer(issuer, tls=context) as keys:
        for trusted, status in ((authority, 200), (stranger, 503)):
            table = {"name": "tokens", "kind": "jwt", "issuer": NAME, "audience": [AUDIENCE], "ca_file": trusted.file}
            own = {**table, "jwks_url": f"https://{keys.address}/keys"}
            config = configured(files, origin, listener={"authentication": ["tokens"]}, authentication=[own])
            async with product(config) as running:
                assert (await get(running, "/", f"Authorization: Bearer {issuer.token()}")).status == status


async def test_f16_a_reload_keeps_what_is_known_and_drops_what_is_not_asked(files: Path) -> None:
    issuer = Issuer()
    async with RawOrigin(answering(OK)) as origin, KeyServer(issuer) as keys, RawOrigin(answering(YES)) as sso:
        tokens = {"name": "tokens", "kind": "jwt", "issuer": NAME, "audience": [AUDIENCE]}
        tables = [{**tokens, "jwks_url": f"http://{keys.address}/keys"}, service(sso.address)]

        def naming(*names: str) -> Config:
            return configured(files, origin, listener={"authentication": names}, authentication=tables)

        async with product(naming("tokens")) as running:
            bearer = f"Authorization: Bearer {issuer.token()}"
            assert (await get(running, "/", bearer)).status == 200
            keys.issuers = []
            await running.running.reload(naming("tokens", "sso"))
            assert ((await get(running, "/", bearer)).status, sso.connections) == (200, [])
            assert (await get(running, "/")).status == 200
            await running.running.reload(naming("sso"))
            assert (await get(running, "/", bearer)).status == 200
            await running.running.reload(naming())
            assert (await get(running, "/")).status == 200
    assert (keys.asked, len(sso.requests())) == (1, 2)


# --- a service that is asked -----------------------------------------------------------------------------------------

YES = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRemote-User: anna\r\nX-Auth-Tenant: 7\r\nX-Other: 1\r\n\r\nok"
LOGIN = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: https://sso.example/\r\nSet-Cookie: s=1\r\n\r\n"
NO = b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\nWWW-Authenticate: Basic realm="sso"\r\n\r\nlog in'


def named(fields: list[tuple[str, str]]) -> dict[str, str]:
    """Fields of which there is one each."""
    lower = {name.lower(): value for name, value in fields}
    assert len(lower) == len(fields)
    return lower


def saying_by_cookie(answers: dict[str, bytes]) -> Callable[[Connection], Any]:
    async def serve(connection: Connection) -> None:
        while True:
            request = await connection.request(None)
            cookie = named(request.fields).get("cookie", "")
            await connection.send(answers[cookie])

    return serve


def service(address: str, **more: Any) -> dict[str, Any]:
    fields = {"response_fields": ["X-Auth-Tenant", "X-Forwarded-User"], "user_field": "Remote-User"}
    return {"name": "sso", "kind": "forward", "url": f"http://{address}/verify?x=y", **fields, **more}


async def get(running: Product, path: str, *lines: str, method: str = "GET") -> judge.Answer:
    wire = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: shop.example", *lines, "", ""))
    return await ask(running.address(), wire.encode(), method)


async def test_a_service_decides_and_its_answers_reach_the_client(files: Path) -> None:
    answers = {"in": YES, "out": LOGIN, "": NO}
    async with RawOrigin(answering(OK)) as origin, RawOrigin(saying_by_cookie(answers)) as sso:
        names = {"authentication": ["sso"], "trusted": ["192.0.2.0/24"]}
        config = configured(files, origin, listener=names, authentication=[service(sso.address)])
        async with product(config) as running:
            spoofed = ("X-Auth-Tenant: 1", "X-Forwarded-User: root", "X-Forwarded-For: 127.0.0.9")
            let_in = await get(running, "/a?b=c", "Cookie: in", *spoofed)
            led_away = await get(running, "/", "Cookie: out")
            refused = await get(running, "/")
            head = await get(running, "/", method="HEAD")
    assert (let_in.status, led_away.status, refused.status, head.status) == (200, 302, 401, 401)
    assert named(led_away.fields)["location"] == "https://sso.example/"
    assert named(led_away.fields)["set-cookie"] == "s=1"
    assert (refused.body, named(refused.fields)["www-authenticate"]) == (b"log in", 'Basic realm="sso"')
    first = sso.requests()[0]
    assert (first.method, first.target) == ("GET", "/verify?x=y")
    told = {name: value for name, value in named(first.fields).items() if name.startswith("x-")}
    assert told == {
        "x-forwarded-method": "GET",
        "x-forwarded-uri": "/a?b=c",
        "x-forwarded-host": "shop.example",
        "x-forwarded-proto": "http",
        "x-forwarded-for": "127.0.0.1",
    }
    [arrived] = origin.requests()
    said = named(arrived.fields)
    assert (said["x-auth-tenant"], "x-forwarded-user" in said, "x-other" in said) == ("7", False, False)
    assert [line.get("user") for line in running.log] == ["anna", None, None, None]
    assert running.log[1]["notes"]["rule"] == "service sso"


async def test_a11_no_route_lets_a_client_say_what_the_service_says(files: Path) -> None:
    routes = [
        {"path": "/open", "upstream": "up"},
        {"path": "/", "upstream": "up", "authentication": ["sso"]},
    ]
    async with RawOrigin(answering(OK)) as origin, RawOrigin(answering(YES)) as sso:
        config = configured(files, origin, route=routes, authentication=[service(sso.address)])
        async with product(config) as running:
            for name in ("X-Auth-Tenant", "x-auth-tenant", "X-AUTH-TENANT", "X-Forwarded-User"):
                for path in ("/open", "/a"):
                    assert (await get(running, path, f"{name}: root")).status == 200
            for name in ("X_Auth_Tenant", "X-Auth_Tenant"):
                assert (await get(running, "/open", f"{name}: root")).status == 400
    assert b"root" not in origin.received
    assert origin.received.count(b"X-Auth-Tenant: 7\r\n") == 4


async def test_a_proxy_asks_a_service_about_its_users(files: Path) -> None:
    async with RawOrigin(answering(OK)) as origin, RawOrigin(answering(NO, YES)) as sso:
        names = {"authentication": ["sso"]}
        config = configured(files, None, "proxy", listener=names, authentication=[service(sso.address)])
        async with product(config) as running:
            through = ("-x", f"http://{running.address()}", f"http://{origin.address}/")
            assert await curl("--proxy-user", "anna:secret", *through) == "407"
            assert await curl("--proxy-user", "anna:secret", "-H", "x_auth-tenant: 1", *through) == "200"
    credentials = base64.b64encode(b"anna:secret")
    assert sso.received.count(b"Authorization: Basic " + credentials) == 2
    assert credentials not in origin.received
    [arrived] = origin.requests()
    assert [value for name, value in arrived.fields if "tenant" in name.lower()] == ["7"]


async def test_when_the_service_is_away_nobody_comes_in(files: Path) -> None:
    async def silent(connection: Connection) -> None:
        await connection.gone()

    async with RawOrigin(answering(OK)) as origin, RawOrigin(silent) as sso:
        for on_failure, status in (("deny", 503), ("allow", 200)):
            table = service(sso.address, timeout_s=0.05, on_failure=on_failure)
            config = configured(files, origin, listener={"authentication": ["sso"]}, authentication=[table])
            async with product(config) as running:
                assert (await get(running, "/", "X-Auth-Tenant: 1")).status == status
    assert b"X-Auth-Tenant" not in origin.received
    assert len(origin.requests()) == 1


async def test_a22_a_service_that_leads_back_to_here_ends(files: Path) -> None:
    async with RawOrigin(answering(OK)) as origin, RawOrigin(answering(OK)) as first:
        names = {"authentication": ["sso"]}
        config = configured(files, origin, listener=names, authentication=[service(first.address)])
        async with product(config) as running:
            itself = configured(files, origin, listener=names, authentication=[service(running.address())])
            config = msgspec.structs.replace(running.running._runtime._config, authentication=itself.authentication)
            await running.running.reload(config)
            assert (await get(running, "/")).status == 503
            assert [line["status"] for line in await running.logged(3)] == [508, 503, 503]
    assert (origin.connections, first.connections) == ([], [])


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_a37_no_secret_of_any_kind_is_kept(files: Path) -> None:
    issuer = Issuer()
    (files / "jwks.json").write_bytes(issuer.jwks())
    good, forged = issuer.token(), by_hand({"alg": "ES256", "kid": "one"}, issuer.claims(), b"c4nary-signature" * 4)
    secrets = ["c4nary-wrong", "c4nary-cookie", base64.b64encode(b"anna:c4nary-wrong").decode()]
    secrets += [good.split(".")[2], forged.split(".")[2], base64.b64encode(b"anna:secret").decode()]
    run = files / "run"
    run.mkdir()
    with (
        in_background(lambda: RawOrigin(answering(OK))) as origin,
        in_background(lambda: RawOrigin(answering(NO))) as sso,
    ):
        (files / "run.toml").write_text(f"""
            log.access = "{run}/access.log"
            [journal]
            [[upstream]]
            name = "up"
            servers = ["{origin.address}"]
            [[listener]]
            address = "127.0.0.1:0"
            role = "gateway"
            upstream = "up"
            authentication = ["users", "tokens", "sso"]
            [[authentication]]
            name = "users"
            file = "users"
            [[authentication]]
            name = "tokens"
            kind = "jwt"
            issuer = "{NAME}"
            audience = ["{AUDIENCE}"]
            jwks_file = "jwks.json"
            [[authentication]]
            name = "sso"
            kind = "forward"
            url = "http://{sso.address}/"
        """)
        with Program(run, "run", str(files / "run.toml"), console=True) as program:

            def status(*lines: str) -> int:
                return asyncio.run(_status(f"127.0.0.1:{program.port}", lines))

            assert status(f"Authorization: Bearer {good}") == 200
            assert status(f"Authorization: Bearer {forged}") == 401
            assert status(f"Authorization: Basic {secrets[2]}") == 401
            assert status(f"Authorization: Basic {secrets[5]}") == 200
            assert status("Authorization: Custom c4nary-wrong", "Cookie: id=c4nary-cookie") == 401
            wait_until(lambda: (run / "access.log").read_text().count("\n") == 5, "five lines")
            told = interpose("flows", "export", "--har", "-", "--name", NAME_OF_RUN, "--state", str(program.state))
        kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert (told.returncode, told.stdout.count('"Authorization"')) == (0, 5), told.stderr
    kept[Path("the journal")] = told.stdout.encode()
    for secret in secrets:
        assert [path for path, content in kept.items() if secret.encode() in content] == []
        assert secret not in program.said


async def _status(address: str, lines: tuple[str, ...]) -> int:
    wire = "\r\n".join(("GET / HTTP/1.1", "Host: a", *lines, "", ""))
    return (await ask(address, wire.encode(), "GET")).status
