"""Whether a request that was changed by a program may be written: what readers guarantee of those from the wire.

Field lines are checked when they are made. Methods and targets are plain values, so code that lets a user's program
at a request (scripts) has it judged here before it goes on; what was only read costs nothing.
"""

from __future__ import annotations

import re

from interpose.core.body import Body
from interpose.core.fields import Fields
from interpose.core.message import Request
from interpose.core.target import Authority, Form, Target

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_PATH = re.compile(r"/[\x21\x22\x24-\x3e\x40-\x7e]*")  # visible ASCII but "#" and "?"
_QUERY = re.compile(r"[\x21\x22\x24-\x7e]*")
_HOST = re.compile(r"[A-Za-z0-9._\-]{0,255}|[0-9A-Fa-f:.]{2,45}")


def check_request(request: Request) -> None:
    """ValueError, one sentence, when `request` cannot be written as one request."""
    if not isinstance(request, Request):
        raise ValueError(f"{request!r} is not a request")
    if not isinstance(request.method, str) or _METHOD.fullmatch(request.method) is None:
        raise ValueError(f"the method {request.method!r} is not a token of at most 32 characters")
    if not isinstance(request.target, Target):
        raise ValueError(f"the target {request.target!r} is not a Target; use request.target._replace(...)")
    _check_target(request.method, request.target)
    if (request.method == "CONNECT") is not (request.target.form is Form.AUTHORITY):
        raise ValueError(
            f"{request.method} does not go with the target {request.target}; CONNECT has host and port alone"
        )
    if request.upgrade not in (None, "websocket"):
        raise ValueError(f"the upgrade {request.upgrade!r} is not one that may pass; use None or 'websocket'")
    if not isinstance(request.fields, Fields):
        raise ValueError(f"the fields {request.fields!r} are not Fields; use interpose.Fields(...)")
    if not isinstance(request.body, Body):
        raise ValueError(f"the body {request.body!r} is not a Body; use interpose.Body(b'...')")


def _check_target(method: str, target: Target) -> None:
    form, scheme, authority, path, query = target
    host, port = authority if isinstance(authority, Authority) else (None, None)
    if not isinstance(host, str) or _HOST.fullmatch(host) is None:
        raise ValueError(f"the host of {authority!r} is not a host name or an IP address")
    if port is not None and not (isinstance(port, int) and 0 < port < 65536):
        raise ValueError(f"the port of {authority!r} is not between 1 and 65535")
    if form in (Form.AUTHORITY, Form.ASTERISK):
        return
    if scheme not in ("http", "https"):
        raise ValueError(f"the scheme {scheme!r} is not http or https")
    if method == "OPTIONS" and form is Form.ABSOLUTE and path == "" and query is None:
        return
    if not isinstance(path, str) or _PATH.fullmatch(path) is None:
        raise ValueError(f"the path {path!r} does not begin with a slash, or has characters to be percent-encoded")
    if query is not None and (not isinstance(query, str) or _QUERY.fullmatch(query) is None):
        raise ValueError(f"the query {query!r} has characters to be percent-encoded")
