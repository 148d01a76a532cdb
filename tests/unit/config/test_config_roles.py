"""The options of `interpose proxy` and `interpose gateway` stand for the tables of a file."""

from pathlib import Path

import pytest

from interpose.config.load import load
from interpose.config.problem import ConfigError
from interpose.config.roles import gateway_config, proxy_config, said_of_flags


def test_a_proxy_from_options_is_the_same_as_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("")
    file = tmp_path / "proxy.toml"
    file.write_text(
        "[process]\nworkers = 2\ngrace_s = 3\n[log]\nformat = 'json'\naccess = 'off'\n"
        "[[listener]]\naddress = ':1'\nrole = 'proxy'\nallow_from = ['10.0.0.0/8']\nallow_upstream = ['10.1.0.0/16']\n"
        "[[listener]]\naddress = ':2'\nrole = 'proxy'\nallow_from = ['10.0.0.0/8']\nallow_upstream = ['10.1.0.0/16']\n"
        "[[script]]\nfile = 'own.py'\n"
    )
    config = proxy_config(
        [":1", ":2"],
        workers=2,
        allow_from=["10.0.0.0/8"],
        allow_upstream=["10.1.0.0/16"],
        scripts=[str(tmp_path / "own.py")],
        log="off",
        log_format="json",
    )
    assert config == load(file)
    assert [listener.name for listener in config.listeners] == ["proxy", "proxy-2"]


def test_a_gateway_from_options_is_the_same_as_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(
        "[process]\ngrace_s = 3\n[[listener]]\naddress = '127.0.0.1:8080'\nrole = 'gateway'\nupstream = 'upstream'\n"
        "[[upstream]]\nname = 'upstream'\nservers = ['127.0.0.1:9000', 'https://b.example']\n"
    )
    assert gateway_config(["127.0.0.1:9000", "https://b.example"]) == load(file)


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (
            {"listen": ["0.0.0.0:1", "0.0.0.0:1"]},
            [
                '--listen "0.0.0.0:1": is the address of another listener already; give each listener its own',
                '--listen "0.0.0.0:1": would let everybody who can reach this machine use it to reach others; say '
                "who may with --allow-from (networks) or --auth (a file of users), or listen on 127.0.0.1",
            ],
        ),
        (
            {"listen": [":1", ":2"], "allow_from": ["x"]},
            ['--allow-from "x": is not an address or network; write "192.0.2.7", "10.0.0.0/8" or "fd00::/8"'],
        ),
        ({"tls_key": "/dev/null"}, ["--tls-certificate: is missing; give the path of a file"]),
        ({"log": "/none/x.log"}, ['--log "/none/x.log": there is no directory /none; make it first']),
        ({"scripts": ["/none.py"]}, ['--script "/none.py": there is no file /none.py']),
        ({"workers": 1000}, ["--workers 1000: must be a whole number from 0 to 256"]),
        ({"listen": []}, ["--listen: is missing; add a [[listener]] table with address and role"]),
    ],
)
def test_what_is_wrong_with_options_is_told_in_their_words(options: dict[str, object], sentences: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        proxy_config(**options)  # type: ignore[arg-type]
    assert list(said_of_flags(caught.value.problems)) == sentences
