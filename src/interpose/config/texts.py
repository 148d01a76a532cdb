"""Texts of a configuration that have a meaning: `config/kinds.py` knows what each demands."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Name = Annotated[str, Meta(extra={"kind": "name"})]
Label = Annotated[str, Meta(extra={"kind": "label"})]
File = Annotated[str, Meta(extra={"kind": "file"})]
LaterFile = Annotated[str, Meta(extra={"kind": "later_file"})]
Folder = Annotated[str, Meta(extra={"kind": "folder"})]
LogTarget = Annotated[str, Meta(extra={"kind": "log"})]
Network = Annotated[str, Meta(extra={"kind": "network"})]
ListenAddress = Annotated[str, Meta(extra={"kind": "address"})]
DnsServer = Annotated[str, Meta(extra={"kind": "dns"})]
HostPattern = Annotated[str, Meta(extra={"kind": "host"})]
RoutePath = Annotated[str, Meta(extra={"kind": "route_path"})]
Condition = Annotated[str, Meta(extra={"kind": "condition"})]
PathPrefix = Annotated[str, Meta(extra={"kind": "path"})]
Method = Annotated[str, Meta(extra={"kind": "method"})]
Token = Annotated[str, Meta(extra={"kind": "token"})]
Server = Annotated[str, Meta(extra={"kind": "server"})]
HashOn = Annotated[str, Meta(extra={"kind": "hash_on"})]
CookieName = Annotated[str, Meta(extra={"kind": "cookie"})]
RedisUrl = Annotated[str, Meta(extra={"kind": "redis"})]
Webhook = Annotated[str, Meta(extra={"kind": "webhook"})]
Service = Annotated[str, Meta(extra={"kind": "service"})]
ProxyUrl = Annotated[str, Meta(extra={"kind": "proxy_url"})]
