import stat
from pathlib import Path

import bcrypt
import pytest

from interpose.storage import password_file
from interpose.storage.password_file import PasswordFile, groups_in
from interpose.storage.password_hash import scrypt_entry
from interpose.storage.sha_crypt import sha_crypt

# Made by `htpasswd -nbB -C 5 user pass`, by a program that is not ours.
HTPASSWD = "user:$2y$05$lCZY/d0E0Gqx.gFe40hD6O7yOqFJC7b4IsllAMZL8BMFCEhxDgiFa"

SCRYPT = "u:$scrypt$ln=15,r=8,p=1$tySI+gRkhQVNWZmnrbf5EA$YEapmVIiZxyp3PatIVN8v2OsjrvLLNs50WtIJYficds"


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "users"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_htpasswd_wrote_is_read(tmp_path: Path) -> None:
    users = PasswordFile(write(tmp_path, f"# who\r\n\n{HTPASSWD}\r\n"))
    assert users.users == ["user"]
    assert users.is_right("user", b"pass")
    assert not users.is_right("user", b"Pass")
    assert not users.is_right("user", b"")
    assert not users.is_right("User", b"pass")


def test_our_own_entries_are_read(tmp_path: Path) -> None:
    line = scrypt_entry("bärbel", "pässword")
    users = PasswordFile(write(tmp_path, line + ":a comment\n" + HTPASSWD))
    assert users.is_right("bärbel", "pässword".encode())
    assert not users.is_right("bärbel", b"password")
    assert scrypt_entry("bärbel", "pässword") != line


@pytest.mark.parametrize("password", ["a" * 72, "a" * 100, "\x00", "a\x00b", "ü" * 50])
def test_odd_passwords_are_checked_and_do_not_raise(tmp_path: Path, password: str) -> None:
    users = PasswordFile(write(tmp_path, HTPASSWD + "\n" + scrypt_entry("s", password)))
    assert not users.is_right("user", password.encode())
    assert users.is_right("s", password.encode())


def test_an_entry_written_long_ago_is_still_read(tmp_path: Path) -> None:
    assert PasswordFile(write(tmp_path, SCRYPT)).is_right("u", b"p")


def test_a_long_password_is_cut_as_htpasswd_cuts_it(tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"a" * 72, bcrypt.gensalt(4)).decode()
    assert PasswordFile(write(tmp_path, f"user:{hashed}")).is_right("user", b"a" * 90)


def test_a19_an_unknown_user_costs_what_some_known_user_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    monkeypatch.setattr(bcrypt, "checkpw", lambda password, hashed: not checked.append(hashed))
    cheap, costly = (bcrypt.hashpw(b"x", bcrypt.gensalt(cost)).decode() for cost in (4, 6))
    path = write(tmp_path, f"cheap:{cheap}\ncostly:{costly}")
    users = PasswordFile(path)
    assert users.is_right("cheap", b"x")
    assert checked == [cheap.encode()]
    checked.clear()
    names = [f"nobody-{number}" for number in range(64)]
    assert not any(users.is_right(name, b"x") for name in names)
    first, checked[:] = list(checked), []
    assert set(first) == {cheap.encode(), costly.encode()}
    assert not any(PasswordFile(path).is_right(name, b"x") for name in names)
    assert checked == first


# From the paper's own list, and by the crypt of glibc where that list cuts the salt.
SHA_CRYPT = [
    ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    (
        "a very much longer text to encrypt.  This one even stretches over morethan one line.",
        "$5$rounds=1400$anotherlongsalts$Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1",
    ),
    ("a short string", "$5$rounds=12340$asaltof16chars..$JANf17Nny.O8JzLQfWdCFrycNnEAFlAS2pJ1Pw.VvG."),
    ("this is a long password", "$5$rounds=5000$toolongsaltstrin$6ZOW2qkeJMIHY8gtkz.C26rX1Bl6exUsS88KoTJuN40"),
]


@pytest.mark.parametrize(("password", "hashed"), SHA_CRYPT)
def test_what_unix_systems_wrote_is_read(tmp_path: Path, password: str, hashed: str) -> None:
    users = PasswordFile(write(tmp_path, f"u:{hashed}"))
    assert users.is_right("u", password.encode())
    assert not users.is_right("u", password.encode() + b" ")


def test_a_short_salt_and_many_rounds_are_as_the_paper_has_them() -> None:
    password = b"we have a short salt string but not a short password"
    assert sha_crypt("6", password, b"short", 77777) == (
        "WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0"
    )


ARGON2 = "$argon2id$v=19$m=64,t=1,p=1$kLoz2tht4lNl0QoxER28Fw$O9OsToF3axg85L3IXa+rc+Abn6joJM2MUpYI6ZTG3uc"


def test_argon2_is_read(tmp_path: Path) -> None:
    users = PasswordFile(write(tmp_path, f"u:{ARGON2}:a comment"))
    assert users.is_right("u", b"secret")
    assert not users.is_right("u", b"Secret")
    assert not users.is_right("u", b"")


def test_groups_are_read_as_apache_writes_them(tmp_path: Path) -> None:
    text = "# who is where\n\nstaff: anna bert\nadmins:anna\n empty :\nstaff:\tcarl anna\r\n"
    assert groups_in(write(tmp_path, text)) == {"anna": ("staff", "admins"), "bert": ("staff",), "carl": ("staff",)}
    for line in ("anna", ": anna", "a b: anna", "a,b: anna"):
        with pytest.raises(ValueError) as error:
            groups_in(write(tmp_path, "x: y\n" + line))
        assert str(error.value) == "line 2 is not `group: user user`"


def damaged(position: int, character: str) -> str:
    return HTPASSWD[:position] + character + HTPASSWD[position + 1 :]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no users; add one with `htpasswd -B`"),
        ("# nobody\n\n", "has no users; add one with `htpasswd -B`"),
        (b"\xff", "is not UTF-8 text"),
        (b"a" * (password_file.MOST_BYTES + 1), f"is larger than {password_file.MOST_BYTES} bytes"),
        ("user", "line 1 is not `user:hash`; make it with `htpasswd -B`"),
        (":hash", "line 1 is not `user:hash`; make it with `htpasswd -B`"),
        (f"{HTPASSWD}\n{HTPASSWD}", "line 2 names 'user' a second time"),
        ("u:$apr1$6uswdDIN$0z7aIZLzS2zof9MBqccQZ.", "line 1 has an MD5 hash for 'u', which is not accepted; {fix}"),
        ("u:{SHA}UWuXg/ylF+7L0dBk2i0WUxCxl1k=", "line 1 has a SHA-1 hash for 'u', which is not accepted; {fix}"),
        ("u:$6$Mu$TzbK", "line 1 has a damaged hash for 'u', which is not accepted; {fix}"),
        ("u:$y$j9T$x$y", "line 1 has a hash of another kind (yescrypt) for 'u', which is not accepted; {fix}"),
        ("u:$argon2id$v=19", "line 1 has a damaged hash for 'u', which is not accepted; {fix}"),
        ("u:" + ARGON2[:-30], "line 1 has a damaged hash for 'u', which is not accepted; {fix}"),
        ("u:" + ARGON2.replace("m=64", "m=9999999"),
         "line 1 has Argon2 with m=9999999,t=1,p=1 for 'u'; up to m=262144, m times t up to 2097152, and p=16 are "
         "accepted"),
        ("u:$5$rounds=999999999$a$" + "b" * 43,
         "line 1 has SHA-crypt with 999999999 rounds for 'u'; up to 100000 are accepted"),
        ("u:xjjRD4XAhBl3g", "line 1 has a plain password or an old hash for 'u', which is not accepted; {fix}"),
        ("u:", "line 1 has a plain password or an old hash for 'u', which is not accepted; {fix}"),
        (HTPASSWD[:-1], "line 1 has a damaged hash for 'user', which is not accepted; {fix}"),
        (damaged(33, "/"), "line 1 has a damaged hash for 'user', which is not accepted; {fix}"),
        (HTPASSWD.replace("$05$", "$16$"), "line 1 has bcrypt with cost 16 for 'user'; 4 to 15 are accepted"),
        (HTPASSWD.replace("$05$", "$03$"), "line 1 has bcrypt with cost 3 for 'user'; 4 to 15 are accepted"),
        (
            SCRYPT.replace("ln=15", "ln=20"),
            "line 1 has scrypt with ln=20, r=8, p=1 for 'u'; make it anew with `htpasswd -B`",
        ),
        (SCRYPT[:-1], "line 1 has a damaged hash for 'u', which is not accepted; {fix}"),
        ("a\nb:c", "line 1 is not `user:hash`; make it with `htpasswd -B`\nline 2 has a plain password or an old hash "
                   "for 'b', which is not accepted; {fix}"),
    ],
)  # fmt: skip
def test_a_file_is_refused_with_every_line_and_its_fix(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(ValueError) as error:
        PasswordFile(write(tmp_path, text))
    assert str(error.value) == says.replace("{fix}", "write it anew with `htpasswd -B`")


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ValueError) as error:
            PasswordFile(path)
        assert str(error.value) == f"cannot be read: {reason}"
    assert stat.S_ISDIR(tmp_path.stat().st_mode)
