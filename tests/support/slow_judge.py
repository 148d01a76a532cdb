"""A firewall process that does as it is told by the path of a request: /pass, /sleep, /die, /block; in Python only.

Its answers are judged by their status: 599 is one that takes long. Started as the real one is.
"""

from __future__ import annotations

import os
import sys
import time

from interpose.filters.firewall.log_lines import NO_SUMS
from interpose.filters.firewall.messages import Answer, Forget, Inspect, Ready, Setup, Verdict
from interpose.filters.firewall.process import Link

LONG_S = 30.0


def main() -> None:
    """Answer until the worker is gone."""
    link = Link(int(sys.argv[1]))
    waiting: set[int] = set()
    while (message := link.read()) is not None:
        match message:
            case Setup():
                link.write(Ready(1))
            case Inspect(number, _, _, _, _, target):
                if target == "/sleep":
                    time.sleep(LONG_S)
                if target == "/die":
                    os._exit(1)
                if target == "/count":  # how many requests wait for their answers
                    link.write(Verdict(number, 200 + len(waiting), True, *NO_SUMS, []))
                    continue
                if target == "/block":
                    link.write(Verdict(number, 403, True, *NO_SUMS, []))
                    continue
                waiting.add(number)
                link.write(Verdict(number, 0, True, *NO_SUMS, []))
            case Answer(number, status):
                if status == 599:
                    time.sleep(LONG_S)
                link.write(Verdict(number, 0, number in waiting, *NO_SUMS, []))
                waiting.discard(number)
            case Forget(number):
                waiting.discard(number)


if __name__ == "__main__":
    main()
