"""Every peer with its configuration.

Equal work, as far as their options allow: one worker or thread, an access log line per request into a file, no cache,
the connection to the origin kept alive where the peer can, `X-Forwarded-For` added by the gateways. Everything else is
the peer's default.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

from bench import firewall, interception
from bench.origin import nginx_user, program
from bench.peers import ROOT, Peer, Role, Setup

_NGINX = """\
{modules} daemon off; worker_processes {workers}; pid {directory}/nginx.pid; error_log stderr error; {user}
events {{ worker_connections 8192; }}
http {{
  access_log {log} combined; keepalive_requests 1000000000; keepalive_timeout 300s; client_max_body_size 0;
  ssl_protocols TLSv1.2 TLSv1.3;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  {cache_path}
  upstream origin {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} {tls} backlog=4096; {certificate}
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; {cache} {firewall}
      proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"""


# It has no cache in memory of its own: its files are in the page cache, in both roles.
_NGINX_CACHE_PATH = "proxy_cache_path {directory}/kept levels=1:2 keys_zone=kept:64m max_size=512m use_temp_path=off;"
_NGINX_CACHE = (
    "proxy_cache kept; proxy_cache_valid 200 1h; proxy_cache_lock on; add_header X-Cache $upstream_cache_status;"
)

_NGINX_GZIP = "gzip on; gzip_comp_level 5; gzip_proxied any; "

_NGINX_STREAM = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr error; {user}
events {{ worker_connections 8192; }}
stream {{
  log_format line '$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time';
  access_log {log} line;
  server {{ listen 127.0.0.1:{port} {how}; proxy_pass 127.0.0.1:{upstream}; proxy_timeout 60s; }}
}}
"""


# Its `ssl_protocols` are widened to what the others have by default: TLS 1.3 is what all then speak.
def _nginx(path: str, setup: Setup) -> list[str]:
    tls, certificate = "", ""
    if setup.role is Role.TLS_GATEWAY:
        tls = "ssl"
        certificate = f"ssl_certificate {setup.certificate}; ssl_certificate_key {setup.key};"
    config = setup.directory / "nginx.conf"
    values = {"directory": setup.directory, "log": setup.log, "upstream": setup.upstream, "port": setup.port}
    if setup.role in (Role.RELAY, Role.DATAGRAMS):
        how = "udp" if setup.role is Role.DATAGRAMS else "backlog=4096"
        config.write_text(_NGINX_STREAM.format(**values, user=nginx_user(), how=how))
    else:
        keeps = setup.role in (Role.CACHE, Role.DISK_CACHE)
        cache_path = _NGINX_CACHE_PATH.format(directory=setup.directory) if keeps else ""
        more = {
            "tls": tls,
            "certificate": certificate,
            "cache": _NGINX_CACHE if keeps else _NGINX_GZIP if setup.role is Role.COMPRESSING else "",
            "cache_path": cache_path,
            "workers": "1",
            "modules": "",
            "firewall": "",
        }
        if setup.role is Role.FIREWALL:  # as many as Interpose has firewall processes
            more["workers"] = "2"
            more["modules"] = f"load_module {firewall.NGINX_MODULE};"
            more["firewall"] = f"modsecurity on; modsecurity_rules_file {firewall.rules_file(setup.directory)};"
        config.write_text(_NGINX.format(**values, **more, user=nginx_user()))
    return [path, "-p", str(setup.directory), "-e", "stderr", "-c", str(config)]


_HAPROXY = """\
global
  nbthread 1
  maxconn 8000
  log stdout format raw local0
defaults
  mode {mode}
  log global
  option {log_format}
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend front
  bind 127.0.0.1:{port} backlog 4096{tls}
  default_backend back
backend back
  {options}
  server origin 127.0.0.1:{upstream}
"""


def _haproxy(path: str, setup: Setup) -> list[str]:
    # Its log goes to its own standard output, a file here: one write per line as nginx does, all of it counted.
    tls = ""
    if setup.role is Role.TLS_GATEWAY:
        both = setup.directory / "both.pem"
        both.write_bytes(setup.certificate.read_bytes() + setup.key.read_bytes())
        tls = f" ssl crt {both}"
    is_tunnel = setup.role in (Role.TUNNEL, Role.RELAY)
    config = setup.directory / "haproxy.cfg"
    config.write_text(
        _HAPROXY.format(
            mode="tcp" if is_tunnel else "http",
            log_format="tcplog" if is_tunnel else "httplog",
            options="" if is_tunnel else "http-reuse always\n  option forwardfor",
            port=setup.port,
            upstream=setup.upstream,
            tls=tls,
        )
    )
    return [path, "-db", "-f", str(config)]


_VARNISH = """\
vcl 4.1;
backend origin {{ .host = "127.0.0.1"; .port = "{upstream}"; }}
sub vcl_recv {{ unset req.http.Cookie; }}
sub vcl_backend_response {{ set beresp.ttl = 1h; }}
"""


# Its log is kept in shared memory; varnishncsa, a process of its own, writes it into the file, and is counted.
def _varnish(path: str, setup: Setup) -> list[str]:
    vcl = setup.directory / "default.vcl"
    vcl.write_text(_VARNISH.format(upstream=setup.upstream))
    where = setup.directory / "varnish"
    start = (
        f"{path} -F -f {vcl} -n {where} -a 127.0.0.1:{setup.port} -s malloc,512m -p thread_pools=1 "
        f"-p thread_pool_min=40 -j none & VARNISH=$!; "
        f"until varnishncsa -n {where} -w {setup.log} -a; do sleep 0.2; done & "
        "trap 'kill $(jobs -p)' TERM INT; wait $VARNISH"
    )
    return ["/bin/sh", "-c", start]


_SQUID = """\
http_port 127.0.0.1:{port}
http_access allow all
cache deny all
access_log stdio:{log} combined
cache_log {directory}/cache.log
pid_filename none
coredump_dir {directory}
workers 1
max_filedescriptors 16384
shutdown_lifetime 0 seconds
pinger_enable off
visible_hostname localhost
"""


def _squid(path: str, setup: Setup) -> list[str]:
    config = setup.directory / "squid.conf"
    config.write_text(_SQUID.format(port=setup.port, log=setup.log, directory=setup.directory))
    return [path, "-N", "-f", str(config)]


_TINYPROXY = """\
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
Timeout 300
MaxClients 2000
LogFile "{log}"
LogLevel Connect
"""


def _tinyproxy(path: str, setup: Setup) -> list[str]:
    config = setup.directory / "tinyproxy.conf"
    config.write_text(_TINYPROXY.format(port=setup.port, log=setup.log))
    return [path, "-d", "-c", str(config)]


def _proxy_py(path: str, setup: Setup) -> list[str]:
    one = ["--num-workers", "1", "--num-acceptors", "1"]
    kept = ["--data-dir", str(setup.directory), "--log-file", str(setup.log), "--log-level", "INFO"]
    return [path, "--hostname", "127.0.0.1", "--port", str(setup.port), *one, *kept]


def _mitmproxy(path: str, setup: Setup) -> list[str]:
    # For the tunnel it is told to look into nothing, which is its cheapest way to pass bytes.
    how = ["--ignore-hosts", ".*"] if setup.role is Role.TUNNEL else []
    if setup.role is Role.RECORDING:
        how = ["--mode", f"reverse:http://127.0.0.1:{setup.upstream}", "--save-stream-file", f"{setup.directory}/flows"]
    if setup.role is Role.INTERCEPTING:
        how = interception.mitmproxy(setup)
    state = ["--set", f"confdir={setup.directory}"]
    return [path, "--listen-host", "127.0.0.1", "--listen-port", str(setup.port), *state, *how]


_INTERPOSE_TLS = """\
[process]
workers = {workers}
state_dir = "{directory}/state"

[log]
access = "{log}"

[[upstream]]
name = "origin"
servers = ["http://127.0.0.1:{upstream}"]

[[listener]]
address = "127.0.0.1:{port}"
role = "gateway"
upstream = "origin"
tls = {{ certificate = "{certificate}", key = "{key}" }}
"""


_INTERPOSE_CACHE = """\
[process]
workers = {workers}
state_dir = "{directory}/state"

[log]
access = "{log}"

[[cache]]
name = "kept"
{where}
ttl_s = 3600

[[upstream]]
name = "origin"
servers = ["http://127.0.0.1:{upstream}"]

[[listener]]
address = "127.0.0.1:{port}"
role = "gateway"
upstream = "origin"
cache = "kept"
"""


_INTERPOSE_COMPRESSING = """\
[process]
workers = {workers}
state_dir = "{directory}/state"

[log]
access = "{log}"

[[upstream]]
name = "origin"
servers = ["http://127.0.0.1:{upstream}"]

[[listener]]
address = "127.0.0.1:{port}"
role = "gateway"
upstream = "origin"
compression = {{ codings = ["gzip"], gzip_level = 5 }}
"""


_INTERPOSE_RECORDING = """\
[process]
name = "recording"
workers = {workers}
state_dir = "{directory}/state"

[log]
access = "{log}"

{journal}

[[upstream]]
name = "origin"
servers = ["http://127.0.0.1:{upstream}"]

[[listener]]
address = "127.0.0.1:{port}"
role = "gateway"
upstream = "origin"
"""


def _interpose_recording(path: str, setup: Setup, journal: str = "[journal]") -> list[str]:
    config = setup.directory / "interpose.toml"
    values = {"directory": setup.directory, "log": setup.log, "workers": setup.workers, "port": setup.port}
    config.write_text(_INTERPOSE_RECORDING.format(**values, upstream=setup.upstream, journal=journal))
    return [path, "run", str(config)]


_INTERPOSE_BALANCING = """
[process]
workers = {workers}
state_dir = "{directory}/state"
[log]
access = "{log}"
[metrics]
address = "unix:{directory}/metrics"
[[listener]]
address = "127.0.0.1:{port}"
role = "gateway"
upstream = "origins"
[[upstream]]
name = "origins"
balance = "{balance}"
servers = ["127.0.0.1:{upstream}", "localhost:{upstream}", "a.localhost:{upstream}", "b.localhost:{upstream}"]
check = {{ kind = "http", path = "/1k", interval_s = 1 }}
"""


def _interpose_balancing(path: str, setup: Setup, *, balance: str) -> list[str]:
    config = setup.directory / "interpose.toml"
    values = {"directory": setup.directory, "log": setup.log, "workers": setup.workers, "port": setup.port}
    config.write_text(_INTERPOSE_BALANCING.format(**values, upstream=setup.upstream, balance=balance))
    return [path, "run", str(config)]


def _interpose(path: str, setup: Setup) -> list[str]:
    if setup.role is Role.RECORDING:
        return _interpose_recording(path, setup)
    if setup.role is Role.INTERCEPTING:
        return interception.interpose(path, setup)
    if setup.role is Role.FIREWALL:
        config = setup.directory / "interpose.toml"
        values = {"directory": setup.directory, "log": setup.log, "workers": setup.workers, "port": setup.port}
        config.write_text(firewall.INTERPOSE.format(**values, upstream=setup.upstream))
        return [path, "run", str(config)]
    if setup.role in (Role.CACHE, Role.DISK_CACHE):
        config = setup.directory / "interpose.toml"
        values = {"directory": setup.directory, "log": setup.log, "workers": setup.workers, "port": setup.port}
        where = "memory_bytes = 536870912"
        if setup.role is Role.DISK_CACHE:
            # What is in memory over the disk is another workload: here is memory for a sixth of the objects.
            where = f'memory_bytes = 1048576\ndir = "{setup.directory}/kept"\ndisk_bytes = 536870912'
            (setup.directory / "kept").mkdir(mode=0o700, exist_ok=True)
        config.write_text(_INTERPOSE_CACHE.format(**values, upstream=setup.upstream, where=where))
        return [path, "run", str(config)]
    if setup.role is Role.COMPRESSING:
        config = setup.directory / "interpose.toml"
        values = {"directory": setup.directory, "log": setup.log, "workers": setup.workers, "port": setup.port}
        config.write_text(_INTERPOSE_COMPRESSING.format(**values, upstream=setup.upstream))
        return [path, "run", str(config)]
    if setup.role is Role.TLS_GATEWAY:
        config = setup.directory / "interpose.toml"
        paths = {"certificate": setup.certificate, "key": setup.key, "directory": setup.directory, "log": setup.log}
        ports = {"port": setup.port, "upstream": setup.upstream}
        config.write_text(_INTERPOSE_TLS.format(**paths, **ports, workers=setup.workers))
        return [path, "run", str(config)]
    state = ["--state", str(setup.directory / "state")]
    common = ["--workers", str(setup.workers), "--no-console", "--log", str(setup.log), *state]
    listen = ["--listen", f"127.0.0.1:{setup.port}"]
    if setup.role is Role.GATEWAY:
        return [path, "gateway", f"http://127.0.0.1:{setup.upstream}", *listen, *common]
    if setup.role is Role.RELAY:
        return [path, "relay", "--to", f"127.0.0.1:{setup.upstream}", *listen, *common]
    if setup.role is Role.DATAGRAMS:
        return [path, "relay", "--udp", "--to", f"127.0.0.1:{setup.upstream}", *listen, *common]
    return [path, "proxy", *listen, *common]


def _of_environment(environment: str, name: str) -> Callable[[], str | None]:
    """A program of one of the repository's environments, or of PATH."""

    def find() -> str | None:
        installed = ROOT / environment / "bin" / name
        return str(installed) if installed.exists() else shutil.which(name)

    return find


def _of_system(name: str) -> Callable[[], str | None]:
    return lambda: program(name)


INTERPOSE = "interpose"
INTERPOSE_TWO = "interpose-2"
INTERPOSE_SILENT = "interpose-silent"
"""The same without a journal, for what recording adds."""
INTERPOSE_TURNS, INTERPOSE_LEAST = "interpose-round-robin", "interpose-least-active"
"""The same before four servers, with checks and metrics, for what balancing adds."""

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("nginx", _of_system("nginx"), _nginx, ("-v",)),
        Peer("haproxy", _of_system("haproxy"), _haproxy, ("-v",), logs_to_output=True),
        Peer("varnish", _of_system("varnishd"), _varnish, ("-V",)),
        Peer("squid", _of_system("squid"), _squid, ("-v",)),
        Peer("tinyproxy", _of_system("tinyproxy"), _tinyproxy, ("-v",)),
        Peer("proxy.py", _of_environment(".venv-bench", "proxy"), _proxy_py, ("--version",)),
        Peer("mitmproxy", _of_environment(".venv-bench", "mitmdump"), _mitmproxy, ("--version",), logs_to_output=True),
        Peer(INTERPOSE, _of_environment(".venv-run", "interpose"), _interpose, ("--version",)),
        Peer(INTERPOSE_TWO, _of_environment(".venv-run", "interpose"), _interpose, ("--version",), workers=2),
        Peer(
            INTERPOSE_SILENT,
            _of_environment(".venv-run", "interpose"),
            partial(_interpose_recording, journal=""),
            ("--version",),
        ),
        *(
            Peer(
                name,
                _of_environment(".venv-run", "interpose"),
                partial(_interpose_balancing, balance=balance),
                ("--version",),
            )
            for name, balance in ((INTERPOSE_TURNS, "round_robin"), (INTERPOSE_LEAST, "least_active"))
        ),
    )
}
