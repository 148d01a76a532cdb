"""A bad configuration: every problem at once, each with its line, key path, value and fix."""

from pathlib import Path

import msgspec
import pytest

from interpose.config.load import MAX_FILE_BYTES, config_of, load, state_dir, verified
from interpose.config.model import Config, Connections, Limits, Listener, Timeouts, Upstream
from interpose.config.problem import ConfigError

PROXY = '[[listener]]\naddress = "127.0.0.1:0"\nrole = "proxy"\n'
GATEWAY = '[[listener]]\naddress = "127.0.0.1:0"\nrole = "gateway"\nupstream = "app"\n'
APP = '[[upstream]]\nname = "app"\nservers = ["127.0.0.1:9000"]\n'
BAD = Path(__file__).with_name("bad_configurations.txt")
"""Files one after another, each followed by what is wrong with it, in lines that begin with "> "."""

SYNTAX = [
    ("[process", "1: Expected ']' at the end of a table declaration, at the end of the file"),
    ("a = 1 b", "1: column 7: Expected newline or end of document after a statement"),
    ("[process]\nworkers = 1\nworkers = 2\n", "3: column 12: Cannot overwrite a value"),
    ("\n\nname = 'unclosed\n", '4: Expected "\'", at the end of the file'),
]


def problems_in(text: str, folder: Path) -> list[str]:
    """What is said about a file of this text, the directory it is in as DIR and its own path left out."""
    file = folder / "site.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{file}:") for line in lines)
    return [line.removeprefix(f"{file}:").replace(str(folder), "DIR") for line in lines]


@pytest.mark.parametrize(("text", "problem"), SYNTAX)
def test_f15_a_syntax_error_is_told_with_line_and_column(text: str, problem: str, tmp_path: Path) -> None:
    assert problems_in(text, tmp_path) == [problem]


@pytest.mark.parametrize("text", BAD.read_text("utf-8").split("====\n"))
def test_a19_f15_everything_wrong_is_told_with_its_place_and_its_fix(text: str, tmp_path: Path) -> None:
    lines = text.splitlines()
    expected = [line.removeprefix("> ") for line in lines if line.startswith("> ")]
    assert expected
    assert problems_in("\n".join(line for line in lines if not line.startswith("> ")), tmp_path) == expected


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no such file"),
        (b"", "is empty; see examples/gateway.toml for a beginning"),
        (b" \n\n", "is empty; see examples/gateway.toml for a beginning"),
        (b"\n# \xff", "holds a byte in line 2 that is not UTF-8: 0xff"),
        (b"#" * (MAX_FILE_BYTES + 1), "is larger than 1048576 bytes, the limit for a configuration"),
        (b"a = " + b"[" * 5000, "is nested too deeply to be read"),
        (b"a = " + b"1" * 5000, "holds a number of thousands of digits"),
        (b"# nothing but a remark\n", "listener: is missing; add a [[listener]] table with address and role"),
    ],
)
def test_f15_a_file_that_cannot_be_used_is_told_in_a_sentence(
    content: bytes | None, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "site.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == f"{file}: {problem}"


def test_f15_a_directory_is_not_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory; name a file in it"):
        load(tmp_path)


def test_a_sparse_file_of_100_mb_is_refused_without_being_read(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    with file.open("wb") as sparse:
        sparse.truncate(100_000_000)
    with pytest.raises(ConfigError, match="is larger than 1048576 bytes"):
        load(file)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", ":0", "localhost:8080", "[::1]:8080", "127.8.9.1:1", "unix:/run/proxy.sock"]
)
def test_a19_a_proxy_for_this_machine_only_needs_no_guard(address: str) -> None:
    assert config_of({"listener": [{"address": address, "role": "proxy"}]}).listeners[0].role == "proxy"


@pytest.mark.parametrize("guard", [{"allow_from": ["10.0.0.0/8"]}, {"allow_from": ["0.0.0.0/0", "::/0"]}])
def test_a19_a_proxy_for_others_may_run_when_it_says_for_whom(guard: dict[str, object]) -> None:
    assert config_of({"listener": [{"address": "0.0.0.0:80", "role": "proxy", **guard}]})


def test_a_gateway_for_others_needs_no_guard() -> None:
    tables = {
        "listener": [{"address": "0.0.0.0:80", "role": "gateway", "upstream": "app"}],
        "upstream": [{"name": "app", "servers": ["127.0.0.1:9000"]}],
    }
    assert config_of(tables).listeners[0].address == "0.0.0.0:80"


def test_what_is_left_out_is_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "my site.toml"
    file.write_text(
        PROXY + GATEWAY + GATEWAY.replace("gateway", "gateway") + APP + '[[route]]\npath = "/a"\nanswer = {}\n'
    )
    config = load(file)
    assert config.process.name == "my-site"
    assert [listener.name for listener in config.listeners] == ["proxy", "gateway", "gateway-2"]
    assert config.routes[0].name == "/a/*"
    assert config.upstreams[0].servers == ("http://127.0.0.1:9000",)
    assert config.limits == Limits()
    assert config.limits_of(config.listeners[0]) is config.limits


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ({}, "/*"),
        ({"path": "/a/"}, "/a/*"),
        ({"path": "/a", "exact": True}, "/a"),
        ({"hosts": ["a.example", "*.b.example"], "path": "/x"}, "a.example|*.b.example/x/*"),
        ({"methods": ["GET", "HEAD"], "hosts": ["a"]}, "GET|HEAD a/*"),
        ({"name": "mine"}, "mine"),
    ],
)
def test_a_route_without_a_name_is_called_by_what_it_matches(route: dict[str, object], name: str) -> None:
    tables = {"listener": [{"address": ":0", "role": "gateway"}], "route": [{"answer": {}, **route}]}
    assert config_of(tables).routes[0].name == name


def test_a_listener_and_an_upstream_say_only_what_differs_there(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(
        "[limits]\nmax_fields = 50\nmax_body_bytes = 1000\n"
        + "[timeouts]\nhead_timeout_s = 5\n[connections]\nmax_idle = 7\n"
        + GATEWAY
        + "limits.max_fields = 60\ntimeouts = { body_timeout_s = 1.5 }\n"
        + APP
        + "connections.idle_timeout_s = 3\n"
    )
    config = load(file)
    listener, upstream = config.listeners[0], config.upstreams[0]
    assert config.limits_of(listener) == Limits(max_fields=60, max_body_bytes=1000)
    assert config.timeouts_of(listener) == Timeouts(head_timeout_s=5.0, body_timeout_s=1.5)
    assert config.connections_of(upstream) == Connections(max_idle=7, idle_timeout_s=3.0)
    assert config.connections_of(None) == Connections(max_idle=7)


def test_paths_in_a_file_start_at_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "filters.py").write_text("")
    (tmp_path / "home").mkdir()
    file = tmp_path / "site.toml"
    file.write_text(
        '[log]\naccess = "access.log"\n[process]\nstate_dir = "~/state"\n[[script]]\nfile = "filters.py"\n'
        + PROXY.replace("127.0.0.1:0", "unix:run/proxy.sock")
    )
    config = load(file)
    assert config.log.access == str(tmp_path / "access.log")
    assert config.process.state_dir == str(tmp_path / "home" / "state")
    assert config.scripts[0].file == str(tmp_path / "filters.py")
    assert config.listeners[0].address == f"unix:{tmp_path}/run/proxy.sock"


def test_a_configuration_made_in_python_keeps_the_same_rules() -> None:
    with pytest.raises(ConfigError) as caught:
        verified(
            Config(listeners=(Listener(address="0.0.0.0:1", role="proxy"), Listener(address=":x", role="gateway")))
        )
    assert [problem.where for problem in caught.value.problems] == [
        "listener[2].address",
        "listener[1].address",
        "listener[2]",
    ]


def test_a_sound_configuration_stays_what_it_is() -> None:
    config = verified(
        Config(
            listeners=(Listener(address=":0", role="gateway", upstream="a", limits=Limits(max_fields=9)),),
            upstreams=(Upstream(name="a", servers=("https://A.example:8443", "unix:/run/a.sock")),),
        )
    )
    assert config.upstreams[0].servers == ("https://a.example:8443", "unix:/run/a.sock")
    assert verified(config) == config
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(config), type=Config) == config


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ("/x", {"INTERPOSE_STATE": "/y", "XDG_STATE_HOME": "/z"}, "/x"),
        ("", {"INTERPOSE_STATE": "/y", "XDG_STATE_HOME": "/z"}, "/y"),
        ("", {"XDG_STATE_HOME": "/z"}, "/z/interpose"),
        ("", {"XDG_STATE_HOME": "relative"}, "/srv/me/.local/state/interpose"),
        ("", {}, "/srv/me/.local/state/interpose"),
    ],
)
def test_state_lives_where_it_is_told_to_else_where_the_platform_has_it(
    given: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/srv/me")
    for name in ("INTERPOSE_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(state_dir(given)) == expected


def test_f15_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=r"site\.toml: cannot be read: permission denied"):
        load(tmp_path / "site.toml")
    with pytest.raises(ConfigError, match=r'file = "/own\.py": cannot be read: permission denied'):
        config_of({"listener": [{"address": ":0", "role": "proxy"}], "script": [{"file": "/own.py"}]})


def test_a_table_full_of_unknown_keys_is_not_guessed_at_for_ever(tmp_path: Path) -> None:
    found = problems_in("[process]\n" + "".join(f"key{n} = 1\n" for n in range(50_000)) + PROXY, tmp_path)
    assert len(found) == 51
    assert found[50] == "52: process.key50: 49950 more keys are not known here"
