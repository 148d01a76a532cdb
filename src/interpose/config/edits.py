"""From `[[edit]]` tables, and functions of scripts, to filters of contents and fields."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from interpose.config.edit_model import Edit
from interpose.config.model import OPEN_ROLES, Config, Listener, Route
from interpose.config.step import Step
from interpose.core.handler import Filter, Phase
from interpose.filters.field_edits import FieldEdit, FieldEdits

if TYPE_CHECKING:
    from interpose.filters.content.rules import Rule

ROLES = ("gateway", *OPEN_ROLES)
"""The roles whose listeners have edits."""


def edits_for(config: Config, listener: Listener, route: Route | None) -> tuple[Edit, ...]:
    """The edits of a route of `listener`, in their order."""
    name = "" if route is None else route.name
    return tuple(
        edit
        for edit in config.edits
        if (not edit.listeners or listener.name in edit.listeners) and (not edit.routes or name in edit.routes)
    )


def content_steps(edits: tuple[Edit, ...]) -> list[Step]:
    """The filter of contents, where there is anything for it."""
    edits = tuple(edit for edit in edits if edit.replace or edit.remove or edit.insert)
    if not edits:
        return []
    return [Step(Phase.EDIT, "edit", "; ".join(map(_in_words, edits)), partial(content_filter, edits))]


def field_steps(edits: tuple[Edit, ...]) -> list[Step]:
    """The filter of fields, where there is anything for it."""
    changes = tuple(change for edit in edits for change in field_edits(edit))
    if not changes:
        return []
    detail = ", ".join(f"{change.action} {change.name}" for change in changes)
    return [Step(Phase.EDIT, "fields", detail, lambda: FieldEdits(changes))]


def field_edits(edit: Edit) -> tuple[FieldEdit, ...]:
    """The changes of fields of an edit, each with the table's condition beside its own."""
    if not edit.when:
        return edit.fields
    return tuple(
        replace(change, when=f"({edit.when}) ({change.when})" if change.when else edit.when) for change in edit.fields
    )


def content_filter(edits: tuple[Edit, ...]) -> Filter:
    """The filter. ValueError, a sentence, for a pattern that is none."""
    # Who edits nothing need not have the libraries in memory.
    from interpose.filters.content.filter import ContentEdits

    return ContentEdits([rule_of(edit) for edit in edits])


def rule_of(edit: Edit) -> Rule:
    """What the filter is given. ValueError, a sentence, for what cannot be made of it."""
    from interpose.filters.content.rules import Rule, condition_of, replacement_of, selectors_of

    return Rule(
        name=edit.name or edit.when or "edit",
        matcher=condition_of(edit.when),
        is_outbound=edit.message == "response",
        said=repr(edit),
        replacements=tuple([replacement_of(one) for one in edit.replace]),
        selectors=selectors_of(edit.remove),
        insertions=edit.insert,
        max_bytes=edit.max_bytes,
        forces=edit.force,
        blocks=edit.on_failure == "block",
    )


def _in_words(edit: Edit) -> str:
    what = [f"replace {len(edit.replace)}"] if edit.replace else []
    what += [f"remove {', '.join(edit.remove)}"] if edit.remove else []
    what += ["insert"] if edit.insert else []
    where = f" in {edit.message}s" + (f" with {edit.when}" if edit.when else "")
    return (f"{edit.name}: " if edit.name else "") + ", ".join(what) + where
