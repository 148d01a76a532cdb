"""From `[[edit]]` tables, and functions of scripts, to filters of contents and fields."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from interpose.config.edit_model import Edit
from interpose.config.model import Config, Listener, Route
from interpose.config.step import Step
from interpose.core.handler import Filter, Phase
from interpose.filters.field_edits import FieldEdit, FieldEdits
from interpose.filters.only_when import OnlyWhen
from interpose.filters.rewrite import Rewrite, RewriteOptions

if TYPE_CHECKING:
    from interpose.filters.content.rules import Rule
    from interpose.filters.script.edits import ContentFunction

ROLES = ("gateway", "proxy", "auto")
"""The roles whose listeners speak HTTP."""


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


def query_steps(edits: tuple[Edit, ...]) -> list[Step]:
    """The filters of URLs' queries: one for each edit, whose condition each asks after those before it."""
    steps = []
    for edit in edits:
        if edit.set_query or edit.remove_query:
            changes = ", ".join([*(f"remove {name}" for name in edit.remove_query), *edit.set_query])
            steps.append(Step(Phase.EDIT, "query", changes, partial(_query_filter, edit)))
    return steps


def _query_filter(edit: Edit) -> Filter:
    options = RewriteOptions(set_query=edit.set_query, remove_query=edit.remove_query, restore=False)
    return OnlyWhen(edit.when, Rewrite(options)) if edit.when else Rewrite(options)


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


def function_filter(function: ContentFunction) -> Filter:
    """The filter that gives contents to a function of a script."""
    from interpose.filters.content.filter import ContentEdits
    from interpose.filters.content.rules import Rule, condition_of

    marked = function.options
    rule = Rule(
        name=function.name,
        matcher=condition_of(marked.when),
        is_outbound=marked.message == "response",
        said=function.version,
        chunk=None if marked.whole else function.function,
        whole=function.function if marked.whole else None,
        max_bytes=marked.max_bytes,
        forces=marked.force,
    )
    return ContentEdits([rule])


def _in_words(edit: Edit) -> str:
    what = [f"replace {len(edit.replace)}"] if edit.replace else []
    what += [f"remove {', '.join(edit.remove)}"] if edit.remove else []
    what += ["insert"] if edit.insert else []
    where = f" in {edit.message}s" + (f" with {edit.when}" if edit.when else "")
    return (f"{edit.name}: " if edit.name else "") + ", ".join(what) + where
