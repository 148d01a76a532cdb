import re

import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address, TlsInfo
from interpose.core.target import Authority, Form, Target
from interpose.filters.setup_page import SetupPage, SetupPageOptions

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


async def ask(
    path: str = "/",
    authority: Authority = Authority("127.0.0.1", 8080),  # noqa: B008 - an immutable value
    accept: str = BROWSER,
    method: str = "GET",
    tls: bool = False,
    **options: object,
) -> Response:
    page = SetupPage(SetupPageOptions(**options), Authority("192.0.2.5", 3128))  # type: ignore[arg-type]
    exchange = Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0)
    if tls:
        exchange.tls = TlsInfo("TLSv1.3", "TLS_AES_128_GCM_SHA256")
    return await page(
        exchange, Request(method, Target(Form.ORIGIN, "http", authority, path), Fields([("Accept", accept)]))
    )


async def test_the_page_has_the_address_by_which_it_was_found() -> None:
    response = await ask(authority=Authority("proxy.example", 8080))
    page = response.body.take().decode()
    assert response.fields["Content-Type"] == "text/html; charset=utf-8"
    for text in (
        "curl -x http://proxy.example:8080 http://example.org/",
        'chromium <span>--proxy-server=http://proxy.example:8080</span> <span>--user-data-dir="$(mktemp -d)"</span>',
        "HTTP Proxy <code>proxy.example</code>, Port <code>8080</code>",
        "export https_proxy=http://proxy.example:8080\n",
        '$env:HTTPS_PROXY = "http://proxy.example:8080"\n',
        "gsettings set org.gnome.system.proxy.https port 8080\n",
        "networksetup -setsecurewebproxy Wi-Fi proxy.example 8080</code>",
        "Address <code>proxy.example</code>, Port <code>8080</code>",
        "<pre><code>http://proxy.example:8080/proxy.pac</code></pre>",
    ):
        assert text in page
    assert "192.0.2.5" not in page


async def test_the_page_loads_nothing_and_runs_nothing() -> None:
    response = await ask()
    page = response.body.take().decode()
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!#|data:|/proxy\.pac")', page) == []
    policy = response.fields["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy


@pytest.mark.parametrize("host", ['"><script>alert(1)</script>', "a'b", "$url", "&amp;"])
async def test_a35_no_host_gets_out_of_its_place(host: str) -> None:
    plain = (await ask()).body.take().decode()
    page = (await ask(authority=Authority(host, 8080))).body.take().decode()
    count = lambda text: len(re.findall(r"[<>]", text))  # noqa: E731
    assert count(page) == count(plain)
    script = (await ask("/proxy.pac", authority=Authority(host, 8080))).body.take().decode()
    assert script.count("\n") == (await ask("/proxy.pac")).body.take().count(b"\n")
    assert script.endswith(f'  return "PROXY {host.replace(chr(34), chr(92) + chr(34))}:8080";\n}}\n')


@pytest.mark.parametrize(
    ("authority", "tls", "proxy"),
    [
        (Authority("127.0.0.1", 8080), False, "PROXY 127.0.0.1:8080"),
        (Authority("proxy.example"), False, "PROXY proxy.example:80"),
        (Authority("::1", 8080), False, "PROXY [::1]:8080"),
        (Authority("proxy.example"), True, "HTTPS proxy.example:443"),
        (Authority(""), False, "PROXY 192.0.2.5:3128"),
    ],
)
async def test_the_configuration_script_names_this_proxy(authority: Authority, tls: bool, proxy: str) -> None:
    for path in ("/proxy.pac", "/wpad.dat"):
        response = await ask(path, authority, tls=tls)
        assert response.fields["Content-Type"] == "application/x-ns-proxy-autoconfig"
        assert f'  return "{proxy}";\n' in response.body.take().decode()


async def test_exceptions_are_in_the_script_and_on_the_page() -> None:
    exceptions = ("intranet", "*.Corp.example")
    script = (await ask("/proxy.pac", pac_exceptions=exceptions)).body.take().decode()
    assert '  var direct = ["localhost","*.localhost","intranet","*.corp.example"];\n' in script
    page = (await ask(pac_exceptions=exceptions)).body.take().decode()
    assert "for everything but addresses of your own machine, intranet, *.corp.example." in page


async def test_a_terminal_gets_a_few_lines() -> None:
    response = await ask(accept="*/*")
    assert response.fields["Content-Type"] == "text/plain; charset=utf-8"
    text = response.body.take().decode()
    assert "\n  curl -x http://127.0.0.1:8080 http://example.org/\n" in text
    assert len(text.split("\n")) < 12


async def test_the_page_says_when_a_password_or_tls_is_needed() -> None:
    plain = (await ask()).body.take().decode()
    assert 'class="note"' not in plain
    assert "user name and a password" in (await ask(asks_for_password=True)).body.take().decode()
    secure = (await ask(tls=True)).body.take().decode()
    assert "speaks TLS" in secure
    assert "curl -x https://127.0.0.1:8080 " in secure


async def test_anything_else_is_404_or_405() -> None:
    with pytest.raises(Failure) as missing:
        await ask("/favicon.ico")
    assert missing.value.status == 404
    assert (await ask("/", method="HEAD")).status == 200
    response = await ask("/", method="POST")
    assert (response.status, response.fields["Allow"]) == (405, "GET, HEAD")
