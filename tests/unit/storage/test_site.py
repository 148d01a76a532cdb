"""What a path means below a directory, and that nothing outside of it is meant by any."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interpose.storage.site import Directory, File, Listing, Site, names_of

CODINGS = ("br", "zstd", "gzip")


def site(root: Path, **options: object) -> Site:
    return Site(
        str(root), **{"index": ("index.html",), "codings": CODINGS, "hidden": False, "listing": False, **options}
    )  # type: ignore[arg-type]


def old(path: Path) -> Path:
    """The file as if nobody had changed it lately. (Its change time is now all the same: only the system sets that.)"""
    os.utime(path, ns=(10**18, 10**18))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("hidden")
    (root / ".well-known").mkdir()
    (root / ".well-known" / "x").write_text("public")
    (root / "index.html").write_text("top")
    (root / "dir" / "index.html").write_text("in dir")
    (root / "dir" / "a b;c.txt").write_text("odd")
    (root / "dir" / "é.txt").write_text("accent")
    (root / "link.txt").symlink_to("../secret.txt")
    (root / "inner.txt").symlink_to("index.html")
    (root / "linked").symlink_to("../outside")
    (root / "absolute").symlink_to("/")
    os.mkfifo(root / "pipe")
    return root


def content(found: object) -> bytes | None:
    assert isinstance(found, File)
    return found.versions[0].content


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/", b"top"),
        ("/index.html", b"top"),
        ("/dir/", b"in dir"),
        ("/dir/a%20b;c.txt", b"odd"),
        ("/dir/a%20b%3Bc.txt", b"odd"),
        ("/dir/%C3%A9.txt", b"accent"),
        ("/.well-known/x", b"public"),
    ],
)
def test_a_path_finds_its_file(root: Path, path: str, data: bytes) -> None:
    assert content(site(root).look([path])) == data


@pytest.mark.parametrize(
    "path",
    ["/none", "/none/x", "/index.html/", "/index.html/x", "/empty", "/empty/", "/dir/e%CC%81.txt", "/INDEX.HTML",
     "/" + 300 * "x", "/" + 300 * "x/", "//index.html", "/dir//index.html", "", "/.git/config", "/.git/", "/.git",
     "/dir/.well-known/x", "/.well-known/.x"],
)  # fmt: skip
def test_what_is_not_there_or_hidden_is_not_found(root: Path, path: str) -> None:
    assert site(root).look([path]) is None


def test_hidden_files_are_found_where_that_is_asked_for(root: Path) -> None:
    assert content(site(root, hidden=True).look(["/.git/config"])) == b"hidden"


UPS = [
    "..", "%2e%2e", ".%2e", "%2E.", "..%2f", "..%2F..", "%2e%2e%2f", "..%5c", "..\\", "%252e%252e", "..%00",
    "..;", "..;a=b",
    ".", "%2e", "", "%00", "%2f", "%2F%2F", "%c0%ae%c0%ae", "..%c0%af", "\uff0e\uff0e",
]  # fmt: skip
THERE = ["dir", "linked", "absolute", "outside", "link.txt", "inner.txt", "pipe", "secret.txt", "etc", "passwd", "root"]


def holds_a_secret(found: object) -> bool:
    return isinstance(found, File) and any(version.content == b"secret" for version in found.versions)


@given(st.lists(st.sampled_from(UPS + THERE), min_size=1, max_size=7))
@settings(max_examples=400, deadline=None)
def test_a38_no_spelling_leads_out_of_the_root(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    base = tmp_path_factory.getbasetemp() / "a38"
    if not base.exists():
        base.mkdir()
        (base / "outside").mkdir()
        (base / "outside" / "secret.txt").write_text("secret")
        (base / "secret.txt").write_text("secret")
        (base / "root" / "dir").mkdir(parents=True)
        (base / "root" / "dir" / "x.txt").write_text("open")
        (base / "root" / "linked").symlink_to("../outside")
        (base / "root" / "absolute").symlink_to("/")
        (base / "root" / "link.txt").symlink_to("../secret.txt")
        os.mkfifo(base / "root" / "pipe")
    for prefix in ("/", "/dir/", "/linked/", "/absolute/"):
        path = prefix + "/".join(parts)
        for asked in (path, quote(path, safe="/%;\\")):
            found = site(base / "root", hidden=True, listing=True).look([asked])
            assert not holds_a_secret(found), asked
            assert not isinstance(found, File) or found.versions[0].content == b"open", asked
            assert site(base / "root", hidden=True, listing=True).open(asked, "") is None or isinstance(found, File)
            if isinstance(found, Listing):
                assert {name for name, _ in found.entries} <= {b"dir/", b"x.txt"}, asked


@pytest.mark.parametrize(
    "path",
    ["/link.txt", "/inner.txt", "/linked/secret.txt", "/linked/", "/linked", "/absolute/etc/passwd", "/pipe"],
)
def test_a38_links_and_pipes_are_not_followed(root: Path, path: str) -> None:
    for listing in (False, True):
        assert site(root, listing=listing).look([path]) is None
        assert site(root, listing=listing).open(path, "") is None


def test_a38_a_directory_that_becomes_a_link_meanwhile_is_no_way_out(root: Path) -> None:
    files = site(root)
    assert content(files.look(["/dir/index.html"])) == b"in dir"
    (root / "dir").rename(root / "was")
    (root / "dir").symlink_to("../outside")
    assert files.look(["/dir/secret.txt"]) is None
    assert files.open("/dir/secret.txt", "") is None


def test_the_root_itself_may_be_turned_to_another_release(root: Path, tmp_path: Path) -> None:
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "index.html").write_text("next")
    current = tmp_path / "current"
    current.symlink_to(root)
    files = site(current)
    assert content(files.look(["/"])) == b"top"
    current.unlink()
    current.symlink_to(tmp_path / "next")
    assert content(files.look(["/"])) == b"next"


def test_the_first_path_that_means_something_counts(root: Path) -> None:
    found = site(root).look(["/none", "/../x", "/dir/", "/"])
    assert isinstance(found, File)
    assert (found.path, found.versions[0].content) == ("/dir/index.html", b"in dir")


def test_a_directory_without_its_slash_is_told_as_such(root: Path) -> None:
    assert site(root).look(["/dir"]) == Directory("/dir")
    assert site(root, listing=True).look(["/empty"]) == Directory("/empty")


def test_a_listing_has_what_can_be_had(root: Path) -> None:
    (root / "empty" / "b").mkdir()
    (root / "empty" / "a<b>.txt").write_text("12345")
    (root / "empty" / ".x").write_text("")
    (root / "empty" / "link").symlink_to("b")
    assert site(root, listing=True).look(["/empty/"]) == Listing("/empty/", ((b"a<b>.txt", 5), (b"b/", None)))


def test_versions_that_were_compressed_beforehand_lie_beside_and_are_not_older(root: Path) -> None:
    old(root / "index.html")
    for ending in (".br", ".gz", ".zst"):
        (root / f"index.html{ending}").write_text(ending)
    os.utime(root / "index.html.zst", ns=(10**17, 10**17))
    found = site(root).look(["/"])
    assert isinstance(found, File)
    assert [(version.coding, version.content) for version in found.versions] == [
        ("", b"top"), ("br", b".br"), ("gzip", b".gz"),
    ]  # fmt: skip
    opened = site(root).open(found.path, "gzip")
    assert opened is not None
    assert opened.read(0, 10) == b".gz"


def test_what_did_not_change_is_not_read_again_and_what_did_is(root: Path) -> None:
    files = site(root)
    known = files.look(["/"])
    assert isinstance(known, File)
    assert not known.versions[0].is_settled  # it was made just now
    settled = File(known.path, (known.versions[0]._replace(is_settled=True, content=b"kept"),))
    assert content(files.look(["/"], settled)) == b"kept"
    assert content(files.look(["/dir/"], settled)) == b"in dir"
    assert content(files.look(["/"], known)) == b"top"
    (root / "index.html").write_text("new")
    assert content(files.look(["/"], settled)) == b"new"


def test_large_content_is_not_read(root: Path) -> None:
    (root / "large").write_bytes(b"x" * 70_000)
    found = site(root).look(["/large"])
    assert isinstance(found, File)
    assert (found.versions[0].content, found.versions[0].seen.size) == (None, 70_000)


def test_names_are_taken_apart_before_they_are_decoded() -> None:
    assert names_of("/a/b%20c/", hidden=False) == [b"a", b"b c", b""]
    for path in ("/a%2Fb", "/..", "/a/%2e%2e/b", "/a//b", "/%00", "/a/."):
        assert names_of(path, hidden=True) is None
