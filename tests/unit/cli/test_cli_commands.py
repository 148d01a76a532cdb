"""Arguments become a configuration and reach the supervisor; what is wrong with them becomes sentences."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from interpose import cli
from interpose.cli.execute import proxy_environment
from interpose.config.model import Config


class Supervised:
    """Stands where `config.launch` does and keeps what it was given."""

    def __init__(self) -> None:
        self.config = Config()
        self.options: dict[str, Any] = {}

    def supervise(self, config: Config, **options: Any) -> int:
        self.config = config
        self.options = options
        return 0


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> Supervised:
    stand_in = Supervised()
    import interpose.config.launch

    monkeypatch.setattr(interpose.config.launch, "supervise", stand_in.supervise)
    monkeypatch.delenv("INTERPOSE_STATE", raising=False)
    return stand_in


def test_proxy_without_options_listens_on_loopback_8080(supervised: Supervised) -> None:
    assert cli.run(["proxy"]) == 0
    (listener,) = supervised.config.listeners
    assert (listener.name, listener.role, listener.address) == ("proxy", "proxy", "127.0.0.1:8080")
    assert supervised.config.process.name == "proxy"
    assert supervised.config.process.workers == 1
    assert supervised.config.log.access == "-"
    assert supervised.options == {"load": None, "interactive": True, "watched": None}


def test_every_option_of_proxy_reaches_the_configuration(supervised: Supervised, tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text("")
    options = (
        f"proxy --listen :1 --listen unix:{tmp_path}/p.sock --workers 0 --allow-from 10.0.0.0/8 --allow-from ::1"
        f" --allow-upstream 192.168.0.0/16 --script {script} --log off --log-format json --name mine"
        f" --state {tmp_path}/state --no-console"
    )
    assert cli.run(options.split()) == 0
    config = supervised.config
    assert [listener.address for listener in config.listeners] == ["127.0.0.1:1", f"unix:{tmp_path}/p.sock"]
    for listener in config.listeners:
        assert listener.allow_from == ("10.0.0.0/8", "::1/128")
        assert listener.allow_upstream == ("192.168.0.0/16",)
    assert (config.process.workers, config.process.name) == (0, "mine")
    assert config.process.state_dir == f"{tmp_path}/state"
    assert (config.log.access, config.log.format) == ("off", "json")
    assert [script.file for script in config.scripts] == [str(script)]


def test_gateway_takes_its_upstreams_as_arguments(supervised: Supervised) -> None:
    assert cli.run(["gateway", "127.0.0.1:9000", "https://b.example", "--listen", ":0"]) == 0
    assert supervised.config.upstreams[0].servers == ("http://127.0.0.1:9000", "https://b.example")
    assert supervised.config.listeners[0].upstream == "upstream"


def test_the_state_directory_may_come_from_the_environment(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERPOSE_STATE", "/state/here")
    assert cli.run(["proxy"]) == 0
    assert supervised.config.process.state_dir == "/state/here"


def test_run_takes_a_file_and_can_read_it_again(
    supervised: Supervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "interpose.toml"
    file.write_text('[[listener]]\naddress = ":1"\nrole = "proxy"\n')
    assert cli.run(["run", "--name", "mine", "--log-format", "json"]) == 0
    assert supervised.config.process.name == "mine"
    assert supervised.config.log.format == "json"
    file.write_text('[[listener]]\naddress = ":2"\nrole = "proxy"\n')
    again = supervised.options["load"]()
    assert again.listeners[0].address == "127.0.0.1:2"
    assert (again.process.name, again.log.format) == ("mine", "json")
    assert cli.run(["run", "interpose.toml"]) == 0
    assert supervised.config.process.name == "interpose"


def test_the_exit_status_of_the_supervisor_is_that_of_the_command(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    import interpose.config.launch

    monkeypatch.setattr(interpose.config.launch, "supervise", lambda config, **options: 1)
    assert cli.run(["proxy"]) == 1


def test_without_a_file_in_the_directory_the_commands_for_files_say_what_else_there_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("run", "check"):
        assert cli.run([command]) == 2
        assert capsys.readouterr().err == (
            "interpose: there is no interpose.toml in this directory; name a configuration, or start without one: "
            "`interpose proxy`, `interpose gateway UPSTREAM`\n"
        )


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (["proxy", "--workers", "-1"], ["interpose: --workers -1: must be a whole number from 0 to 256"]),
        (
            ["proxy", "--listen", ":x", "--auth", "/none"],
            [
                "interpose: 2 problems:",
                "interpose: --listen \":x\": 'x' in ':x' is not a port; write a number from 0 (any free port) to 65535",
                'interpose: --auth "/none": there is no file /none',
            ],
        ),
        (["run", "/none.toml"], ["interpose: /none.toml: there is no such file"]),
        (["check", "/no\x1b[31mne"], ["interpose: /no\\x1b[31mne: there is no such file"]),
        (["gateway"], ["interpose: missing argument 'UPSTREAM'."]),
        (["nonsense"], ["interpose: no such command 'nonsense'."]),
        (["prox"], ["interpose: no such command 'prox'; did you mean 'proxy'?"]),
        (["proxy", "x", "y"], ["interpose: got unexpected extra argument (x y)."]),
        (["proxy", "--workers", "x"], ["interpose: invalid value for '--workers': it must be a whole number."]),
        (["flows", "show", "0-5"], ["interpose: invalid value for 'ID': it must be a whole number."]),
        (["connect", "h:1", "--timeout", "x"], ["interpose: invalid value for '--timeout': it must be a number."]),
        (
            ["proxy", "--log-format", "x"],
            ["interpose: invalid value for '--log-format': 'x' is not one of 'combined', 'json'."],
        ),
    ],
)
def test_bad_usage_ends_with_status_2_and_a_sentence_for_each_mistake(
    arguments: list[str], sentences: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    assert capsys.readouterr().err.splitlines() == sentences


def test_the_schema_describes_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    tables = schema["$defs"]["Config"]["properties"]
    assert {"process", "log", "dns", "limits", "timeouts", "listener", "upstream", "route", "script"} <= set(tables)
    assert schema["$defs"]["Listener"]["required"] == ["address", "role"]


def test_a_command_runs_with_every_proxy_variable_and_no_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("KEPT", "yes")
    environment = proxy_environment("http://127.0.0.1:1")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        assert environment[name] == "http://127.0.0.1:1"
    assert environment["NO_PROXY"] == environment["no_proxy"] == ""
    assert environment["KEPT"] == "yes"


def test_help_loads_nothing_that_only_a_running_proxy_needs() -> None:
    import subprocess

    code = (
        "import sys\nfrom interpose import cli\ncli.run(['--help'])\n"
        "heavy = {'asyncio', 'uvloop', 'msgspec', 'ssl', 'starlette', 'uvicorn', 'cryptography', 'aiodns'}\n"
        "print(*sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr.strip() == ""


def test_check_tells_of_every_script_that_cannot_be_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "syntax.py").write_text("def broken(:\n")
    (tmp_path / "empty.py").write_text("")
    file = tmp_path / "site.toml"
    file.write_text(
        '[[script]]\nfile = "syntax.py"\n[[listener]]\naddress = ":0"\nrole = "gateway"\n'
        '[[route]]\nanswer = {}\nscripts = ["empty.py"]\n'
    )
    assert cli.run(["check", str(file)]) == 2
    problems = capsys.readouterr().err.splitlines()
    assert problems[0] == "interpose: 2 problems:"
    assert f"{tmp_path}/syntax.py:1: " in problems[1]
    assert problems[2].endswith(f"{tmp_path}/empty.py: no function is marked with @interpose.filter")
