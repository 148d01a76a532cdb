"""The `[[edit]]` tables of a configuration: contents and fields that are changed on their way."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from interpose.config.texts import Condition, Label, Name
from interpose.core.units import Bytes
from interpose.filters.content.options import MOST_EDITED_BYTES, Insertion, Replacement, Selector
from interpose.filters.field_edits import FieldEdit
from interpose.filters.rewrite import Parameter, ParameterName


class Edit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is changed of texts and pages, and of fields beside them. All that match are made, in their order."""

    name: Label = ""
    """What log and `interpose check` call it. Empty: its query."""

    when: Condition = ""
    """Which exchanges it means, as a query: `host:*.example.com response.type:text/html`. Empty: all."""

    message: Literal["response", "request"] = "response"
    """Whose content `replace`, `remove` and `insert` change."""

    listeners: tuple[Name, ...] = ()
    """The listeners it applies to, by name. Empty: every gateway and proxy."""

    routes: tuple[Label, ...] = ()
    """The routes it applies to, by name. Empty: all."""

    replace: tuple[Replacement, ...] = ()
    """Texts that are replaced, one after the other."""

    remove: tuple[Selector, ...] = ()
    """Elements of HTML that are left out, with all that is in them: `div.advert`, `#banner`, `iframe[src*="ads."]`."""

    insert: tuple[Insertion, ...] = ()
    """HTML that is put into pages."""

    remove_query: tuple[ParameterName, ...] = ()
    """Parameters that are taken off the URL's query, by name; `utm_*` is every one that begins so, `*` the whole
    query."""

    set_query: tuple[Parameter, ...] = ()
    """Parameters of the URL's query that are set, as `name=value`; each takes the place of all others of its name."""

    fields: tuple[FieldEdit, ...] = field(default=(), name="field")
    """Fields that are set, added and removed, where this table's `when` holds and their own."""

    force: bool = False
    """Also where the message says that it is not to be changed (`Cache-Control: no-transform`)."""

    max_bytes: Bytes = MOST_EDITED_BYTES
    """The most that is edited of a content whose coding has to be undone."""

    on_failure: Literal["pass", "block"] = "pass"
    """What becomes of content that cannot be edited: another charset than UTF-8, a coding that is not known, more than
    `max_bytes` or than 100 times its size when its coding is undone. It goes on as it is, or is answered 403, or broken
    off if it has begun."""
