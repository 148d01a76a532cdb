"""Texts of a configuration that mean something: names, files, networks, addresses, hosts.

Each kind is a function from what was written to its canonical form; ValueError says what is wrong and what to write
instead. Only the form is looked at, and whether files are there: nothing is resolved, connected or created.
"""

from __future__ import annotations

import ipaddress
import re
from functools import partial
from pathlib import Path

from interpose.config import edit_texts, experiment_texts, route_texts
from interpose.config.convert import Kinds
from interpose.config.firewall_text import rule_ids, rule_tag, rule_variable
from interpose.config.redis_url import redis_url
from interpose.config.urls import page_of, proxy_of
from interpose.core.query import QueryError, parse
from interpose.core.target import DEFAULT_PORTS
from interpose.net.address import SocketAddress, ip_address, is_name, parse_address

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_MEDIA_TYPE = re.compile(r"(?:[a-z0-9.+-]+/(?:[a-z0-9.+-]+|\*)|\*\+[a-z0-9.-]+)")
_IDLE = re.compile(r"idle:([0-9]{1,4}(?:\.[0-9]{1,3})?)")
_LIMIT_BY = re.compile(r"client|user|host|rule|(?:cookie|field):[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_HASH_ON = re.compile(r"client|path|(?:cookie|field):[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_PATH = re.compile(r"/[\x21-\x7e]*")


def kinds(base: Path) -> Kinds:
    """Every kind of the model; relative paths start at `base`."""
    return {
        "name": name,
        "label": label,
        "file": partial(readable_file, base),
        "later_file": partial(later_file, base),
        "folder": partial(folder, base),
        "webhook": webhook,
        "log": partial(log_target, base),
        "network": network,
        "address": partial(listen_address, base),
        "server": partial(server, base),
        "service": service,
        "proxy_url": proxy_url,
        "dns": dns_server,
        "host": host_pattern,
        "path": path_prefix,
        "redis": redis_url,
        "end": end,
        "method": token,
        "token": token,
        "query": query,
        "media": media_type,
        "hash_on": hash_on,
        "limit_by": limit_by,
        "rule_ids": rule_ids,
        "rule_tag": rule_tag,
        "rule_variable": rule_variable,
        "cookie": cookie_name,
        "site": partial(route_texts.site, base),
        **edit_texts.KINDS,
        **route_texts.KINDS,
        **experiment_texts.KINDS,
    }


def name(text: str) -> str:
    """A name that may stand in a path and on a command line; "" when it is to be chosen."""
    if text and _NAME.fullmatch(text) is None:
        raise ValueError(
            "is not a name; use up to 64 letters, digits, '.', '-' and '_', beginning with a letter or digit"
        )
    return text


def query(text: str) -> str:
    """A query (`core.query`), as it was written."""
    try:
        parse(text)
    except QueryError as error:
        raise ValueError(str(error)) from None
    return text


def label(text: str) -> str:
    """Any short printable text."""
    if not text.isprintable() or len(text) > 200:
        raise ValueError("must be printable, on one line, of at most 200 characters")
    return text


def token(text: str) -> str:
    """A token of HTTP (RFC 9110, 5.6.2)."""
    if _TOKEN.fullmatch(text) is None:
        raise ValueError("may hold only letters, digits and !#$%&'*+-.^_`|~, 64 at most")
    return text


def media_type(text: str) -> str:
    """A media type in lower case, or many of them: `text/*`, `*+json`."""
    if _MEDIA_TYPE.fullmatch(text.lower()) is None:
        raise ValueError('is not a media type; write "text/html", "text/*" or "*+json", without parameters')
    return text.lower()


def cookie_name(text: str) -> str:
    """The name of a cookie (RFC 6265, 4.1.1); "" for none."""
    return text and token(text)


def hash_on(text: str) -> str:
    """What requests are told apart by: `client`, `path`, `cookie:NAME` or `field:NAME`."""
    if _HASH_ON.fullmatch(text) is None:
        raise ValueError('is nothing to tell requests apart by; write "client", "path", "cookie:NAME" or "field:NAME"')
    return text


def limit_by(text: str) -> str:
    """Who has an allowance of their own: `client`, `user`, `host`, `field:NAME`, `cookie:NAME`, or `rule` for all."""
    if _LIMIT_BY.fullmatch(text) is None:
        raise ValueError(
            'is nothing to count by; write "client", "user", "host", "field:NAME", "cookie:NAME" or "rule"'
        )
    return text


def path_of(base: Path, text: str) -> Path:
    """The absolute path that a text means: `~` is the home directory, relative paths start at `base`."""
    if "\0" in text or not text:
        raise ValueError("must be the path of a file")
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ValueError("names a home directory that does not exist") from None
    return base / path


def readable_file(base: Path, text: str) -> str:
    """The absolute path of a file that can be read."""
    path = path_of(base, text)
    try:
        with path.open("rb"):
            return str(path)
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise ValueError("is a directory; name a file in it") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {(error.strerror or str(error)).lower()}") from None


def later_file(base: Path, text: str) -> str:
    """The absolute path of a file that may come later."""
    path = path_of(base, text)
    if path.is_dir():
        raise ValueError("is a directory; name a file in it")
    return str(path)


def folder(base: Path, text: str) -> str:
    """The absolute path of a directory that may be made; "" when it is to be chosen."""
    if not text:
        return ""
    path = path_of(base, text)
    if path.exists() and not path.is_dir():
        raise ValueError("is a file; name a directory")
    return str(path)


def webhook(text: str) -> str:
    """The same text, if it is the URL of something that can be sent a message; "" for none."""
    try:
        if text and not (text.startswith(("http://", "https://")) and page_of(text).target.authority.host):
            raise ValueError
    except ValueError:
        raise ValueError('is not a URL that can be sent something; write "https://host/path"') from None
    return text


def log_target(base: Path, text: str) -> str:
    """`-`, `off`, or the absolute path of a file in a directory that is there."""
    if text in ("-", "off"):
        return text
    path = path_of(base, text)
    if path.is_dir():
        raise ValueError("is a directory; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"there is no directory {path.parent}; make it first")
    return str(path)


def network(text: str) -> str:
    """A network in CIDR form; a lone address is a network of one."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        wide = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError('is not an address or network; write "192.0.2.7", "10.0.0.0/8" or "fd00::/8"') from None
    raise ValueError(f'has bits set behind its prefix; write "{wide}"')


def listen_address(base: Path, text: str) -> str:
    """An address to listen on: `host:port`, `:port` (on 127.0.0.1), `[v6]:port` or `unix:path`."""
    return str(parse_address(_unix(base, text) if text.startswith("unix:") else text))


def server(base: Path, text: str) -> str:
    """A server with its scheme: `http://host:port`, `https://host:port`, `tls://host:port` or `unix:path`."""
    if text.startswith("unix:"):
        return str(parse_address(_unix(base, text)))
    form = 'write "http://host:port", "https://host", "host:port" or "unix:path"'
    scheme, separator, rest = text.partition("://") if "://" in text else ("http", "", text)
    if scheme not in ("http", "https", "tcp", "tls"):
        raise ValueError(f"has a scheme that is not spoken here; {form}")
    if "@" in rest:
        raise ValueError(f"must not hold a user or password; {form}")
    authority, slash, path = rest.partition("/")
    if not authority:
        raise ValueError(f"names no host; {form}")
    if path or (slash and not separator):
        raise ValueError(f"must be a server without a path: paths are passed on as clients send them; {form}")
    has_port = ":" in authority.rpartition("]")[2]
    if not has_port and scheme not in DEFAULT_PORTS:
        raise ValueError(f'has no port; write "{text}:9000"')
    where = parse_address(authority if has_port else f"{authority}:{DEFAULT_PORTS[scheme]}")
    if not has_port and not separator:
        raise ValueError(f'has no port; write "{authority}:9000", or "http://{authority}" for port 80')
    if authority.startswith(":") or where.port == 0:
        raise ValueError(f"must name a host, and a port that is not 0; {form}")
    return f"{scheme}://{where if has_port else str(where).rpartition(':')[0]}"


def proxy_url(text: str) -> str:
    """The URL of a proxy, as it was written."""
    proxy_of(text)
    return text


def service(text: str) -> str:
    """The name of a service, for its SRV records (RFC 2782)."""
    if not is_name(text) or text.count(".") < 2 or not text.startswith("_"):
        raise ValueError('is no name of a service; write "_http._tcp.shop.internal"')
    return text.lower()


def address_of(server: str) -> SocketAddress:
    """Where a configured server is, whose form `server` has checked."""
    if server.startswith("unix:"):
        return parse_address(server)
    scheme, _, authority = server.partition("://")
    has_port = ":" in authority.rpartition("]")[2]
    return parse_address(authority if has_port else f"{authority}:{DEFAULT_PORTS[scheme]}")


def dns_server(text: str) -> str:
    """A name server by address: names cannot be looked up before it is known."""
    if ip_address(text) is not None:
        return str(SocketAddress(text, 53))
    host, _, port = text.rpartition(":")
    if ip_address(host.strip("[]")) is None or not port:
        raise ValueError('must be an address, not a name; write "192.0.2.1" or "127.0.0.1:5353"')
    return str(parse_address(text))


def host_pattern(text: str) -> str:
    """A host in lower case, or `*.` and the end of many."""
    host = text.lower()
    if (address := ip_address(host.strip("[]"))) is not None:
        return str(address)
    name = host.removeprefix("*.").removesuffix(".")
    if not is_name(name):
        raise ValueError('is not a host; write "example.com" or "*.example.com", without scheme, port or path')
    return host.removesuffix(".")


def path_prefix(text: str) -> str:
    """The beginning of a path."""
    if _PATH.fullmatch(text) is None or "?" in text or "#" in text:
        raise ValueError('must begin with "/" and hold no space, "?" or "#"; encode others with %')
    return text


def end(text: str) -> str:
    """What ends a file: `half-close`, or `idle:S`."""
    idle_end_s(text)
    return text


def idle_end_s(text: str) -> float | None:
    """After how many silent seconds something has ended that only its sender can end otherwise; None for
    `half-close`."""
    if text == "half-close":
        return None
    if (match := _IDLE.fullmatch(text)) is None:
        raise ValueError('is not an end; write "half-close", or "idle:2" for two seconds without a byte')
    seconds = float(match[1])
    if not 0.05 <= seconds <= 3600:
        raise ValueError('must be from "idle:0.05" to "idle:3600" (seconds)')
    return seconds


def _unix(base: Path, text: str) -> str:
    path = text.removeprefix("unix:")
    return f"unix:{path_of(base, path)}" if path else text
