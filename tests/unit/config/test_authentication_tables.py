"""`[[authentication]]`: what of it is refused, with the fix, and what `interpose check` says of the rest."""

from pathlib import Path
from typing import Any

import bcrypt
import pytest
from tests.support.tokens import Issuer

from interpose.config.build import plan
from interpose.config.load import config_of
from interpose.config.problem import ConfigError

USERS: dict[str, Any] = {"name": "users", "file": "users"}
TOKENS: dict[str, Any] = {"name": "tokens", "kind": "jwt", "jwks_file": "jwks.json", "issuer": "https://i.example"}
SSO: dict[str, Any] = {"name": "sso", "kind": "forward", "url": "http://127.0.0.1:9/verify"}
KEYS: dict[str, Any] = {"name": "keys", "kind": "script", "script": "who.py"}
SCRIPT = "import interpose\n@interpose.authenticator\nasync def who(exchange, request): ...\n"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "users").write_text("anna:" + bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode())
    (tmp_path / "jwks.json").write_bytes(Issuer().jwks())
    (tmp_path / "who.py").write_text(SCRIPT)
    (tmp_path / "empty").write_text("")
    (tmp_path / "bad").write_text("no group")
    return tmp_path


def configured(base: Path, *tables: dict[str, Any], address: str = "127.0.0.1:8080", **listener: Any) -> Any:
    own = {"address": address, "role": "proxy", **listener}
    return config_of({"listener": [own], "authentication": list(tables)}, base=base)


def complaints(base: Path, *tables: dict[str, Any], **listener: Any) -> list[str]:
    try:
        configured(base, *tables, **listener)
    except ConfigError as error:
        return [f"{problem.where}: {problem.message}" for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"name": "a"}, 'authentication[1].file: is missing, and kind "passwords" needs it'),
        ({"name": "a", "kind": "forward"}, 'authentication[1].url: is missing, and kind "forward" needs it'),
        ({"name": "a", "kind": "script"}, 'authentication[1].script: is missing, and kind "script" needs it'),
        ({"name": "a", "kind": "jwt"}, "authentication[1]: needs jwks_file or jwks_url, and not both"),
        ({**TOKENS, "jwks_url": "https://i.example/"}, "authentication[1]: needs jwks_file or jwks_url, and not both"),
        ({**TOKENS, "jwks_file": "empty"},
         'authentication[1].jwks_file: is not a JSON Web Key Set, which is {"keys": [...]}'),
        ({**USERS, "groups_file": "bad"}, "authentication[1].groups_file: line 1 is not `group: user user`"),
        ({**USERS, "file": "empty"}, "authentication[1].file: has no users; add one with `htpasswd -B`"),
        ({**USERS, "url": "http://a/"},
         'authentication[1].url: has no meaning for kind "passwords"; take it away, or make this forward'),
        ({**SSO, "remember_s": 1},
         'authentication[1].remember_s: has no meaning for kind "forward"; take it away, or make this passwords or '
         "jwt"),
        ({"name": "a", "kind": "jwt", "jwks_url": "https://i.example/", "algorithms": ["HS256"]},
         "authentication[1].algorithms: has only algorithms with a secret, and what stands at a URL is none; use "
         "jwks_file"),
        ({**SSO, "url": "http://anna:secret@sso.example/"},
         "authentication[1].url: must not hold a user or a password, which would stand wherever it is shown"),
        ({**SSO, "response_fields": ["X-User", "connection"]},
         "authentication[1].response_fields[2]: is a field of the connection or of the request's way, which Interpose "
         "writes itself"),
        ({**SSO, "response_fields": ["X-Forwarded-For"]},
         "authentication[1].response_fields[1]: is a field of the connection or of the request's way, which Interpose "
         "writes itself"),
        ({**USERS, "name": ""}, "authentication[1].name: must not be empty: listeners and routes call it by its name"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_told(base: Path, table: dict[str, Any], says: str) -> None:
    assert complaints(base, table) == [says]


@pytest.mark.parametrize(
    ("listener", "says"),
    [
        ({"authentication": ["users", "keys", "tokens", "sso"]}, None),
        ({"authentication": ["user"]},
         'listener[1].authentication[1]: there is no authentication of that name; did you mean "users"?'),
        ({"authentication": ["sso", "users"]},
         "listener[1].authentication: names a service before others, who are never asked: it decides about "
         "everything; name it last"),
        ({"authentication": ["users", "more"]},
         "listener[1].authentication: names several files of users, of which only the first is asked; make them one "
         "file"),
        ({"authentication": ["tokens"], "auth": "users"},
         "listener[1].authentication: stands beside auth; name the file in an [[authentication]] of kind passwords, "
         "and keep this"),
        ({"authentication": ["users", "tokens"], "role": "socks"},
         "listener[1].authentication: names what SOCKS cannot do: its clients have names and passwords; keep those of "
         "kind passwords"),
        ({"authentication": ["tokens"], "role": "auto"},
         "listener[1].authentication: names nobody whom clients of SOCKS can log in to; add one of kind passwords"),
        ({"authentication": ["users"], "role": "echo"},
         'listener[1].authentication: has no meaning for role "echo"; take it away, or make this gateway, proxy, '
         "socks or auto"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_told(base: Path, listener: dict[str, Any], says: str | None) -> None:
    tables = (USERS, TOKENS, KEYS, SSO, {**USERS, "name": "more"})
    assert complaints(base, *tables, **listener) == ([says] if says else [])


def test_names_differ(base: Path) -> None:
    told = complaints(base, USERS, {**TOKENS, "name": "users"})
    assert told == ["authentication[2].name: is the name of authentication[1] already; give each its own"]


@pytest.mark.parametrize("name", ["users", "tokens", "keys", "sso"])
def test_a19_who_knows_its_users_may_be_reached_by_others(base: Path, name: str) -> None:
    assert complaints(base, USERS, TOKENS, KEYS, SSO, address="0.0.0.0:8080", authentication=[name]) == []


def test_a19_a_service_whose_failure_lets_in_guards_nothing(base: Path) -> None:
    table = {**SSO, "on_failure": "allow"}
    [told] = complaints(base, table, address="0.0.0.0:8080", authentication=["sso"])
    assert told.startswith("listener[1].address: would let everybody who can reach this machine use it")
    assert complaints(base, table, USERS, address="0.0.0.0:8080", authentication=["users"]) == []


async def test_check_says_who_is_asked_and_where(base: Path) -> None:
    tables = (
        USERS,
        {**TOKENS, "jwks_file": None, "jwks_url": "https://i.example/keys"},
        {**SSO, "response_fields": ["X-Tenant"]},
    )
    config = config_of(
        {
            "listener": [
                {"address": "127.0.0.1:1", "role": "gateway", "authentication": ["tokens", "sso"]},
                {"address": "127.0.0.1:2", "role": "proxy", "authentication": ["users", "sso"]},
            ],
            "upstream": [{"name": "up", "servers": ["127.0.0.1:9"]}],
            "route": [{"path": "/", "upstream": "up", "authentication": ["users"]}],
            "authentication": [{key: value for key, value in table.items() if value} for table in tables],
        },
        base=base,
    )
    gateway, proxy = plan(config)
    names = ("claimed fields", "auth", "forwarding")
    assert [(name, detail) for _, name, detail in gateway.steps if name in names] == [
        ("forwarding", "Via interpose, X-Forwarded-*, Forwarded; trusts nobody"),
        ("claimed fields", "nobody else sets X-Tenant"),
        (
            "auth",
            "tokens of https://i.example, keys in https://i.example/keys or "
            "http://127.0.0.1:9/verify; 503 when it fails",
        ),
        ("auth", f"users in {base}/users"),
    ]
    assert [name for _, name, _ in proxy.steps if name in names] == ["claimed fields", "auth", "forwarding"]
