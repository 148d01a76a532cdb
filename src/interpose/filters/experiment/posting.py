"""Goals that a page posts: nothing passes by that would tell of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from interpose.core.message import Request, Response
from interpose.filters.experiment.trial import Trial

MOST_BYTES = 4096


class Post(msgspec.Struct, forbid_unknown_fields=True):
    """What is posted."""

    goal: str
    value: float = 1.0


_DECODER = msgspec.json.Decoder(Post)


async def posted(trials: Sequence[tuple[Trial, bytes]], request: Request) -> Response:
    """The answer to a post, once the goal is noted in every experiment that has it, for the unit there. `Failure` when
    it is too long."""
    data = await request.body.read(MOST_BYTES)
    try:
        post = _DECODER.decode(data)
    except ValueError as error:
        return Response.text(422, f'This is no goal: {error}. Post {{"goal": "NAME"}}.\n')
    for trial, unit in trials:
        goal = trial.posted.get(post.goal)
        place = trial.assignment.place(unit)
        if goal is not None and place.variant >= 0 and not trial.is_promoted:
            trial.page.reach(place.unit, goal.name, goal.kind, post.value)
    return Response(204)
