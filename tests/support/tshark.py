"""tshark, the judge of captures: what it reads in a file, and what it has to complain about."""

from __future__ import annotations

import subprocess
from pathlib import Path

DEADLINE_S = 60.0
CHECKS = ("-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE")

KNOWN = ("Connection reset (RST)", "Unencrypted HTTP protocol detected over encrypted port")


def tshark(file: Path, *arguments: str) -> str:
    """What tshark prints about a capture."""
    said = subprocess.run(
        ["tshark", "-r", str(file), *CHECKS, *arguments],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    return said.stdout


def fields(file: Path, what: str, *names: str) -> list[tuple[str, ...]]:
    """The values of fields in every packet that a display filter means, several in one packet separated by commas."""
    names_of = [part for name in names for part in ("-e", name)]
    lines = tshark(file, "-Y", what, "-T", "fields", "-E", "separator=|", *names_of).splitlines()
    return [tuple(line.split("|")) for line in lines]


def complaints(file: Path) -> list[str]:
    """Errors and warnings of every packet; notes and chats are none, nor is what is so: a reset, HTTP on port 443."""
    bad = "_ws.expert.severity >= 0x600000 || _ws.malformed"
    bad += " || tcp.checksum.status == 0 || ip.checksum.status == 0 || udp.checksum.status == 0"
    bad += " || tcp.analysis.lost_segment || tcp.analysis.retransmission || tcp.analysis.out_of_order"
    bad += " || tcp.analysis.window_full || tcp.analysis.ack_lost_segment || tcp.analysis.duplicate_ack"
    found = fields(file, bad, "frame.number", "_ws.expert.message")
    return [str(row) for row in found if not any(known in row[1] for known in KNOWN)]


def followed(file: Path, stream: int, protocol: str = "tcp") -> str:
    """A conversation as `Follow Stream` shows it."""
    return tshark(file, "-q", "-z", f"follow,{protocol},ascii,{stream}")


def objects(file: Path, directory: Path) -> dict[str, bytes]:
    """The contents of answers, by the name that tshark gives them."""
    tshark(file, "-q", "--export-objects", f"http,{directory}")
    return {path.name: path.read_bytes() for path in directory.iterdir()}
