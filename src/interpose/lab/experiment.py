"""An experiment: a question, a run that answers it, the answer in words, and the code to read.

The run states what must come out (`Scene.expect`). When something else does, the experiment has failed and says which
of its statements did not hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from interpose.core.failure import Failure
from interpose.lab.scene import Differs, Scene
from interpose.net.blocking import Watch

Run = Callable[[Scene], None]
"""Every wait inside has a deadline."""


class Experiment(NamedTuple):
    """What the laboratory can show. Paragraphs of `answer` have an empty line between; `code` names places of the
    source, as `net/listen.py:bind`."""

    name: str
    question: str
    run: Run
    answer: str
    code: tuple[str, ...]

    @property
    def paragraphs(self) -> list[str]:
        """The answer, each paragraph on one line."""
        return [" ".join(paragraph.split()) for paragraph in self.answer.strip().split("\n\n")]


class Report(NamedTuple):
    """What came of it: `failure` is empty when the outcome is the stated one, else a sentence."""

    experiment: Experiment
    scene: Scene
    failure: str
    took_s: float


def perform(experiment: Experiment, watch: Watch | None = None) -> Report:
    """Run it and close everything that it opened. `watch` is told what the sockets of its actors do."""
    scene = Scene()
    scene.watch = watch
    began = time.monotonic()
    failure = ""
    try:
        with scene.cleanup:
            experiment.run(scene)
    except Differs as differs:
        failure = f"This did not hold: {differs}"
    except (TimeoutError, BlockingIOError):
        failure = "Something that had to happen did not happen in time."
    except (OSError, Failure) as error:
        failure = f"Something went wrong that does not belong to the experiment: {error}."
    return Report(experiment, scene, failure, time.monotonic() - began)
