"""The rules that both firewalls of the comparison have: the Core Rule Set with Interpose's own directives around it."""

from __future__ import annotations

from pathlib import Path

from interpose.filters.firewall.options import Firewall
from interpose.filters.firewall.rule_text import rule_text

NGINX_MODULE = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so"

INTERPOSE = """\
[process]
workers = {workers}
state_dir = "{directory}/state"

[log]
access = "{log}"

[firewall]

[[upstream]]
name = "origin"
servers = ["http://127.0.0.1:{upstream}"]

[[listener]]
address = "127.0.0.1:{port}"
role = "gateway"
upstream = "origin"
"""


def rules_file(directory: Path) -> Path:
    """A file with the rules, as Interpose asks them at paranoia 1, for a server that loads the library itself."""
    made = rule_text(Firewall())
    text = made.text
    for name, place in made.links.items():
        text = text.replace(f"Include {{{name}}}/", f"Include {place}/")
    file = directory / "modsecurity.conf"
    file.write_text(text)
    return file
