"""What a run leaves behind: the record, the verdict, the page."""

import errno

import pytest
from rich.console import Console

from interpose.lab.experiment import Experiment, perform
from interpose.lab.page import page
from interpose.lab.report import print_report
from interpose.lab.scene import Scene, error_of, quoted, size
from interpose.lab.source import line_of


def experiment(run: object) -> Experiment:
    answer = """
        One paragraph
        in two lines.

        Another one.
    """
    return Experiment("name", "Why?", run, answer, ("net/listen.py:bind", "engine/pool.py"))  # type: ignore[arg-type]


def good(scene: Scene) -> None:
    scene.begin("client", "server")
    scene.own(45678, "server", stand_in=8001)
    scene.own(45679, "client")
    scene.sent("client", "server", "from port 45679 to port 45678")
    scene.fact("time", "3 ms", "varies")
    scene.fact("where | and", "127.0.0.1:45678")
    scene.show("The message", b"GET / HTTP/1.1\r\nHost: 127.0.0.1:45678\r\n\r\n\x1b[2J")
    scene.expect(True, "It holds.")


def differing(scene: Scene) -> None:
    scene.begin("client", "server")
    scene.cleanup.callback(lambda: scene.did("client", "tidied up"))
    scene.expect(False, "Everything is well.")


def waiting(scene: Scene) -> None:
    raise BlockingIOError(errno.EAGAIN, "in vain")


def broken(scene: Scene) -> None:
    raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


def printed(run: object, width: int = 60) -> str:
    out = Console(width=width, record=True, highlight=False, markup=False, file=open("/dev/null", "w"))  # noqa: SIM115
    with out.file:
        print_report(perform(experiment(run)), out)
        return out.export_text()


def test_a_page_has_stand_ins_for_what_varies() -> None:
    assert page(perform(experiment(good))) == (
        "# Why?\n\n"
        "`interpose lab run name` shows this; here are stand-ins for what is different each time.\n\n"
        "```text\n"
        "client                                                                                    server\n"
        " │─────────────────────────────── from port 50001 to port 8001 ──────────────────────────────▶│\n"
        " │                                                                                            │\n"
        "```\n\n"
        "| | |\n|---|---|\n| time | varies |\n| where \\| and | 127.0.0.1:8001 |\n\n"
        "The message:\n\n"
        "```text\nGET / HTTP/1.1\\r\\n\nHost: 127.0.0.1:8001\\r\\n\n\\r\\n\n\\x1b[2J\n```\n\n"
        "One paragraph in two lines.\n\nAnother one.\n\n"
        "Read: [net/listen.py, `bind`](../../src/interpose/net/listen.py)"
        " · [engine/pool.py](../../src/interpose/engine/pool.py)\n"
    )


def test_a_report_shows_what_was() -> None:
    text = printed(good)
    assert "from port 45679 to port 45678" in text
    assert "  time         3 ms\n" in text
    assert "  │ Host: 127.0.0.1:45678\\r\\n\n" in text
    assert "One paragraph in two lines.\n" in text
    assert f"src/interpose/net/listen.py:{line_of('net/listen.py:bind')}  bind\n" in text


def test_a_differing_outcome_is_told_and_everything_is_closed() -> None:
    report = perform(experiment(differing))
    assert report.failure == "This did not hold: Everything is well."
    assert [event.text for event in report.scene.events] == ["tidied up"]
    assert "This did not hold: Everything is well." in printed(differing)
    assert "One paragraph" not in printed(differing)


def test_what_does_not_come_in_time_is_told() -> None:
    assert perform(experiment(waiting)).failure == "Something that had to happen did not happen in time."
    assert "Connection reset by peer" in perform(experiment(broken)).failure


def test_a_differing_outcome_ends_the_command_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    from interpose.cli import run

    monkeypatch.setattr("interpose.lab.catalogue.EXPERIMENTS", (experiment(good), experiment(differing)))
    assert run(["lab", "all"]) == 1


def test_an_unknown_port_stays_as_it_is() -> None:
    scene = Scene()
    scene.own(45678, "server", stand_in=8001)
    scene.own(45679, "client")
    scene.own(45680, "client")
    assert scene.steady("45678 45679, 45680. 45681 4567 456780 45,678 1.45678") == (
        "8001 50001, 50002. 45681 4567 456780 45,678 1.45678"
    )


def test_what_was_sent_is_quoted_and_short() -> None:
    assert quoted(b"Foobar\n") == '"Foobar\\n"'
    assert quoted(b"") == 'b""'
    assert quoted(b"x" * 5000) == f'"{"x" * 20}…", 5,000 bytes'
    assert size(1) == "1 byte"


def test_errors_have_the_kernels_names() -> None:
    def fail(number: int) -> None:
        raise OSError(number, "words")

    assert error_of(lambda: fail(errno.ECONNREFUSED)) == "ECONNREFUSED"
    assert error_of(lambda: None) == ""


def test_a_place_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(ValueError, match=r"'net/nowhere\.py' is no file"):
        line_of("net/nowhere.py")
    with pytest.raises(ValueError, match=r"'net/listen\.py' has no 'Listening\.fly'"):
        line_of("net/listen.py:Listening.fly")
