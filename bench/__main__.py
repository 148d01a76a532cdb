"""Measure Interpose and its peers on this machine: `python -m bench`."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from bench.chart import svg
from bench.configurations import PEERS
from bench.measure import Bench
from bench.origin import MIB, make_certificate, origin
from bench.peers import ROOT
from bench.process import MeasureError
from bench.report import print_report
from bench.results import Results, begun, from_json
from bench.workloads import WORKLOADS

DEFAULT_JSON = ROOT / "bench" / "results" / "latest.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark as the command line says; the exit status."""
    options = _options(arguments)
    try:
        results = from_json(options.read.read_text()) if options.read else _measure(options)
    except (OSError, ValueError, MeasureError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; everything it started has been ended", file=sys.stderr)
        return 130
    print_report(results)
    if not options.read:
        _write(options.json, results.to_json())
    if options.chart:
        try:
            _write(options.chart, svg(results))
        except ValueError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", choices=WORKLOADS, help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--peers", nargs="+", metavar="PEER", choices=PEERS, help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=_positive, default=3, help="rounds, each of all peers; the median counts (3)")
    parser.add_argument("--seconds", type=_positive, default=4, help="how long one measurement loads a peer (4)")
    parser.add_argument("--quick", action="store_true", help="one round of one second, less bulk, fewer connections")
    parser.add_argument(
        "--json", type=Path, default=DEFAULT_JSON, metavar="FILE", help="figures (bench/results/latest.json)"
    )
    parser.add_argument("--chart", type=Path, metavar="FILE", help="also draw an SVG")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing: show the figures of an earlier run")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 1
    return options


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _measure(options: argparse.Namespace) -> Results:
    """All rounds of all chosen workloads. Round by round, so that what disturbs the machine disturbs every peer."""
    _raise_descriptor_limit()
    signal.signal(signal.SIGTERM, _interrupt)
    chosen = {name: WORKLOADS[name] for name in WORKLOADS if not options.only or name in options.only}
    results = begun({"rounds": options.rounds, "seconds": options.seconds, "quick": options.quick})
    names = dict.fromkeys(name for workload in chosen.values() for name in workload.peers)
    results.versions = {
        name: PEERS[name].version_text() for name in names if not options.peers or name in options.peers
    }
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as temporary:
        directory = Path(temporary)
        directory.chmod(0o711)  # a peer that gives up root's rights must still reach its own directory below
        with origin(directory / "origin") as port:
            bench = _bench(options, port, directory)
            for workload in chosen.values():
                for number in range(1, options.rounds + 1):
                    _say(f"{workload.name}: round {number} of {options.rounds}")
                    _round(results, bench, workload.name, results.versions)
    return results


def _bench(options: argparse.Namespace, port: int, directory: Path) -> Bench:
    certificate = make_certificate(directory)
    if options.quick:
        return Bench(
            port, directory, certificate, options.seconds, bulk_bytes=256 * MIB, bulk_limit_s=5, idle_count=500
        )
    return Bench(port, directory, certificate, options.seconds)


def _round(results: Results, bench: Bench, name: str, taking_part: dict[str, str]) -> None:
    """Each peer of a workload once; one that fails is told apart and not asked again."""
    for peer in WORKLOADS[name].peers:
        if peer not in taking_part:
            continue
        series = results.series(name, peer)
        if series.skipped:
            continue
        try:
            series.rounds.append(WORKLOADS[name].measure(PEERS[peer], bench))
        except MeasureError as error:
            series.skipped = str(error)
            _say(f"{name}: {peer} skipped: {error}")


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    _say(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
