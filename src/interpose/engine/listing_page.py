"""The list of what is in a directory, as a page."""

from __future__ import annotations

import os
from html import escape
from urllib.parse import quote, unquote

from interpose.core.body import Body
from interpose.core.fields import Fields
from interpose.core.message import Response
from interpose.storage.site import Listing

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title></head>
<body><h1>{title}</h1>
<ul>
{rows}
</ul></body></html>
"""


def listing_page(listing: Listing) -> Response:
    """The page: links that are relative, so that they lead there under whatever name the directory is asked for."""
    rows = [] if listing.path == "/" else ['<li><a href="../">..</a></li>']
    for name, size in listing.entries:
        # "./" before it: a name with a colon is no scheme.
        link = f"./{quote(name)}"
        shown = escape(os.fsdecode(name).encode("utf-8", "replace").decode())
        rows.append(f'<li><a href="{link}">{shown}</a>{"" if size is None else f" {size:,} bytes"}</li>')
    title = escape(unquote(listing.path))
    content = _PAGE.format(title=title, rows="\n".join(rows)).encode()
    fields = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return Response(200, Fields(fields), Body(content))
