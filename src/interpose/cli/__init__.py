"""The command line: argv -> Config -> run. Thin, and quick to start: what a command needs is imported inside it."""

from __future__ import annotations

import gc
import os
import re
import sys

from interpose.cli.say import complain

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: done, failed while running, bad usage or configuration; Ctrl-C before there was anything to drain."""


def main() -> None:
    """Run the command that the arguments name, and exit."""
    fill_standard_descriptors()
    try:
        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        # The interpreter's end looks for garbage in everything that there is, which would be a fifth of what starting
        # and ending cost.
        gc.freeze()


def fill_standard_descriptors() -> None:
    """Open /dev/null where whoever started us closed standard input, output or error: else the event loop's own
    descriptors get those numbers, which it does not survive."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one


def reworded(sentence: str) -> str:
    """What the library says about bad usage, without its types' names and in the form of our own sentences."""
    for theirs, ours in _WORDS:
        sentence = re.sub(theirs, ours, sentence)
    sentence = sentence.rstrip(".")
    return f"{sentence[0].lower()}{sentence[1:]}{'' if sentence.endswith('?') else '.'}"


_WORDS = (
    ("'[^']*' is not a valid int(eger)?( range)?", "it must be a whole number"),
    ("'[^']*' is not a valid float", "it must be a number"),
    (r" argument\(s\) ", " argument "),
    (r"'\. Did you mean", "'; did you mean"),
)


def run(arguments: list[str]) -> int:
    """Run one command and give its exit status. What is wrong becomes a sentence on standard error, never a
    traceback."""
    import typer
    from typer.main import get_command

    from interpose.cli.commands import app
    from interpose.cli.say import Refused

    try:
        status = get_command(app).main(arguments, prog_name="interpose", standalone_mode=False)
    except Refused as refusal:
        complain(*refusal.sentences)
        return refusal.status
    except typer.TyperException as error:
        complain(reworded(error.format_message() or "give a command; see interpose --help"))
        return MISUSED
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; what is buffered for it must not complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return status if isinstance(status, int) else DONE
