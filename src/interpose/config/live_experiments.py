"""What was decided of experiments, laid over the configuration as it is written.

The books keep the decisions (`storage.experiments`), so that a restart keeps them too: each plan is made by what they
say. A decision becomes effective by a reload in place, as live faults do; so every worker has it, and those that are
started later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from interpose.config.experiment_designs import salt_of
from interpose.config.load import state_dir
from interpose.config.model import Config
from interpose.core.experiment.deciding import State, share_of
from interpose.core.experiment.policy import Decision
from interpose.engine.plan import Plan
from interpose.filters.experiment.options import Experiment
from interpose.storage.experiments.books import Key, states_in


class LiveExperiments:
    """See the module. What its `plan_of` gives is to run."""

    def __init__(self, plan_of: Callable[[Config], Plan]) -> None:
        self._plan_of = plan_of

    def plan_of(self, config: Config) -> Plan:
        """The plan of `config` with what was decided."""
        if not config.experiments:
            return self._plan_of(config)
        states = states_in(books_directory(config))
        experiments = tuple(applied(one, states) for one in config.experiments)
        plan = self._plan_of(msgspec.structs.replace(config, experiments=experiments))
        return msgspec.structs.replace(plan, written=msgspec.msgpack.encode(config))


def applied(options: Experiment, states: Mapping[Key, State]) -> Experiment:
    """The experiment as it stands. What its table says of it (paused, promoted) counts more."""
    state = states.get((options.name, salt_of(options))) or State()
    promoted = options.promoted or (state.variant if state.phase == "promoted" else "")
    return msgspec.structs.replace(
        options,
        share=share_of(options.decision or Decision(), state, options.share),
        paused=options.paused or state.phase in ("paused", "rolled back"),
        promoted=promoted,
    )


def books_directory(config: Config) -> Path:
    """Where the books of this instance are."""
    return state_dir(config.process.state_dir) / config.process.name / "experiments"
