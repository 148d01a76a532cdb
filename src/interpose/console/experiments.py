"""Experiments: what is known of them, deciding, and posting what units came to."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from interpose.console.instance import changed
from interpose.console.resource import Group, Resource, Role, content_of, who_asks
from interpose.console.services import Experiments
from interpose.core.experiment.deciding import Action
from interpose.core.experiment.trend import Trend
from interpose.core.experiment.view import ExperimentView


class ExperimentList(msgspec.Struct):
    """Every experiment, in the order of the configuration."""

    experiments: list[ExperimentView]


class DecisionWanted(msgspec.Struct, forbid_unknown_fields=True):
    """What is to become of an experiment; `variant` is the one to promote: `button=green`."""

    action: Action
    variant: str = ""
    why: str = ""


class EventPosted(msgspec.Struct, forbid_unknown_fields=True):
    """A unit (the value of its cookie, a user, an address) has come to a goal."""

    goal: str
    unit: str
    value: float = 1.0


def experiments_group(experiments: Experiments) -> Group:
    """What can be asked about experiments."""

    async def listed(_: Request) -> ExperimentList:
        return ExperimentList(list(await experiments.listed()))

    async def shown(request: Request) -> ExperimentView:
        return await experiments.shown(request.path_params["name"])

    async def trend(request: Request) -> Trend:
        return await experiments.trend(request.path_params["name"])

    async def decide(request: Request) -> Response:
        wanted = await content_of(request, DecisionWanted)
        name, who = request.path_params["name"], who_asks(request)
        return changed(await experiments.decide(name, wanted.action, variant=wanted.variant, who=who, why=wanted.why))

    async def post(request: Request) -> dict[str, Any]:
        event = await content_of(request, EventPosted)
        counted = await experiments.post(request.path_params["name"], event.goal, event.unit, event.value)
        return {"takes_part": counted}

    return Group(
        name="experiments",
        about="Variants of something, and what comes of each.",
        problems={LookupError: 404, ValueError: 422},
        resources=[
            Resource(
                method="GET",
                path="/experiments",
                handler=listed,
                answer=ExperimentList,
                about="Every experiment: how it stands, each variant's numbers, how sure they are, what was decided.",
            ),
            Resource(
                method="GET",
                path="/experiments/{name}",
                handler=shown,
                answer=ExperimentView,
                about="One of them.",
                refusals={404: "There is none of that name."},
            ),
            Resource(
                method="GET",
                path="/experiments/{name}/trend",
                handler=trend,
                answer=Trend,
                about="How what is known of it came to be: its estimates at up to 300 times of its life, and now.",
                refusals={404: "There is none of that name."},
            ),
            Resource(
                method="POST",
                path="/experiments/{name}/decide",
                handler=decide,
                role=Role.EDITOR,
                content=DecisionWanted,
                about="Pause it, resume it, promote a variant (all but the holdout get it), or roll it back (nobody "
                "takes part). It is kept with who did it and why, and holds after a restart.",
                refusals={404: "There is none of that name.", 422: "Why that cannot be; nothing has changed."},
            ),
            Resource(
                method="POST",
                path="/experiments/{name}/events",
                handler=post,
                role=Role.EDITOR,
                content=EventPosted,
                about="Note that a unit has come to a goal. It counts once it was shown a variant, and a conversion "
                "once; `takes_part` says whether it can.",
                refusals={404: "There is no such experiment or goal.", 422: "The value is none."},
            ),
        ],
    )
