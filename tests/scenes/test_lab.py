"""Every experiment comes out as it states, leaves nothing behind, and is what its page of the manual shows."""

import os
import re
import subprocess
import threading
from pathlib import Path

import pytest
from tests.support.program import INTERPOSE, children_of, interpose
from tests.support.tshark import complaints, fields

from interpose.lab.capture import capture_of
from interpose.lab.catalogue import EXPERIMENTS, named
from interpose.lab.experiment import Experiment, perform
from interpose.lab.page import page
from interpose.lab.source import line_of
from interpose.net.blocking import Moment

PAGES = Path(__file__).resolve().parents[2] / "docs" / "lab"

each_experiment = pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)


@each_experiment
def test_the_outcome_is_the_stated_one_and_the_page_shows_it(experiment: Experiment) -> None:
    report = perform(experiment)
    assert report.failure == ""
    written = (PAGES / f"{experiment.name}.md").read_text("utf-8")
    assert page(report) == written, "run script/lab-pages"


@each_experiment
def test_nothing_is_left_of_an_experiment(experiment: Experiment) -> None:
    perform(experiment)  # what is opened once in a process is open now
    descriptors, threads, children = os.listdir("/proc/self/fd"), threading.active_count(), children_of(os.getpid())
    perform(experiment)
    assert len(os.listdir("/proc/self/fd")) <= len(descriptors)
    assert threading.active_count() <= threads
    assert children_of(os.getpid()) == children


@each_experiment
def test_the_code_to_read_exists(experiment: Experiment) -> None:
    assert [line_of(place) > 0 for place in experiment.code] == [True] * len(experiment.code)


def test_every_page_belongs_to_an_experiment() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {experiment.name for experiment in EXPERIMENTS}


def test_all_are_listed_and_run() -> None:
    listed, ran = interpose("lab", "list"), interpose("lab", "all")
    for experiment in EXPERIMENTS:
        assert f"{experiment.name} " in listed.stdout
        assert f"ok       {experiment.name} " in ran.stdout
    assert (listed.returncode, ran.returncode, ran.stderr) == (0, 0, "")


def test_wireshark_reads_what_went_over_the_sockets_on_both_sides_of_the_proxy(tmp_path: Path) -> None:
    file = tmp_path / "lab.pcapng"
    ran = interpose("lab", "run", "proxied-request", "--pcapng", str(file))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert complaints(file) == []
    asked = fields(file, "http.request", "frame.interface_name", "http.request.method")
    assert set(asked) == {("clients", "GET"), ("origins", "GET")}
    ran = interpose("lab", "run", "udp-sessions", "--pcapng", str(file))
    assert complaints(file) == []
    assert {row[0] for row in fields(file, "udp", "frame.interface_name")} == {"clients", "origins"}


def test_a_capture_shows_a_side_that_has_ended_and_still_hears(tmp_path: Path) -> None:
    file = tmp_path / "half.pcapng"
    experiment, moments = named("half-close"), list[Moment]()
    assert experiment is not None
    report = perform(experiment, moments.append)
    file.write_bytes(capture_of(moments, frozenset(report.scene.product_ports)))
    assert complaints(file) == []
    [client] = {
        row[0] for row in fields(file, "tcp.stream == 1 && tcp.flags.syn == 1 && tcp.flags.ack == 0", "tcp.srcport")
    }
    flow = fields(file, "tcp.stream == 1 && (tcp.len > 0 || tcp.flags.fin == 1)", "tcp.srcport", "tcp.flags.fin")
    assert [(port == client, fin) for port, fin in flow] == [
        (True, "0"), (True, "1"), (False, "0"), (False, "1"),
    ]  # fmt: skip


def test_a_report_has_a_diagram_the_answer_and_the_code() -> None:
    ran = interpose("lab", "run", "end-of-stream")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("What does recv() return when the sender is done?\n")
    assert re.search(r"\d ms   │─+ send\(\"Foobar\\n\"\) ─+▶│\n", ran.stdout)
    assert "src/interpose/net/stream.py:" in ran.stdout
    assert "\x1b" not in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_a_terminal_without_unicode_gets_ascii() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ran = interpose("lab", "run", "wrong-port", env=environment)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.isascii()
    assert "---> " not in ran.stdout
    assert "--X" in ran.stdout
    assert "-->|" in ran.stdout


@pytest.mark.parametrize("columns", ["30", "40", "60", "200"])
def test_no_line_is_wider_than_the_terminal(columns: str) -> None:
    ran = interpose("lab", "run", "who-is-there", env={**os.environ, "COLUMNS": columns})
    assert ran.returncode == 0, ran.stderr
    code = ran.stdout.index("\nRead\n")
    assert max(map(len, ran.stdout[:code].splitlines())) <= min(int(columns), 100)


def test_an_unknown_name_gets_a_sentence() -> None:
    ran = interpose("lab", "run", "tcp-sockets")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "interpose: There is no experiment 'tcp-sockets'; did you mean tcp-socket?\n"


def test_pages_go_into_a_folder(tmp_path: Path) -> None:
    ran = interpose("lab", "run", "borders", "--markdown", str(tmp_path / "pages"))
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "pages" / "borders.md").read_text() == (PAGES / "borders.md").read_text()


def test_a_folder_that_cannot_be_had_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = interpose("lab", "run", "borders", "--markdown", str(tmp_path / "file" / "pages"))
    assert ran.returncode == 2
    assert ran.stderr == f"interpose: Pages cannot be written to '{tmp_path}/file/pages': not a directory.\n"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{INTERPOSE} lab run proxied-request | head -n 1"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, check=False)
    assert ran.stdout == "What does a browser send to a proxy, and the proxy to the origin?\n"
    assert "Traceback" not in ran.stderr
