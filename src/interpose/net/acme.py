"""Orders certificates from an ACME authority (RFC 8555), by the challenge http-01.

The protocol is the `acme` library's; this is what Interpose asks of it, in one call that blocks a thread.
Whatever goes wrong is a ValueError with one sentence.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from interpose.core.printable import printable
from interpose.core.version import __version__

TIMEOUT_S = 30
"""For each request to the authority."""

ORDER_TIMEOUT = timedelta(seconds=180)
"""For an order as a whole, validation included."""


class Challenges(NamedTuple):
    """How answers to challenges are put where the authority looks, and taken away again."""

    publish: Callable[[str, bytes], None]
    withdraw: Callable[[str], None]


class AcmeAuthority(NamedTuple):
    """With whom, and as whom. `ca_file` is whom to believe about the authority itself, None for the system's."""

    directory: str
    email: str = ""
    ca_file: str | None = None


class AcmeClient:
    """A client with an account. `account` is what `keep_account` was given before, b"" at the first time."""

    def __init__(self, authority: AcmeAuthority, account: bytes, keep_account: Callable[[bytes], None]) -> None:
        self._authority = authority
        self._account = account
        self._keep_account = keep_account
        self._client: Any = None

    def issue(self, name: str, challenges: Challenges) -> bytes:
        """A new key, its certificate for `name` and the chain, in PEM. Takes as long as the authority does."""
        with _in_words(f"No certificate for {name}"):
            if self._client is None:
                self._client = self._signed_in()
            key, request = _request_for(name)
            order = self._client.new_order(request)
            with ExitStack() as published:
                for authorization in order.authorizations:
                    self._answer(authorization, challenges, published)
                # The library reads the clock without a zone.
                order = self._client.poll_and_finalize(order, datetime.now() + ORDER_TIMEOUT)
            chain: str = order.fullchain_pem
            return key + chain.encode("ascii")

    def _answer(self, authorization: Any, challenges: Challenges, published: ExitStack) -> None:
        """Put the answer where it is looked for, and only then say so."""
        from acme.challenges import HTTP01

        offered = [one for one in authorization.body.challenges if isinstance(one.chall, HTTP01)]
        if not offered:
            raise ValueError("the authority does not offer the challenge http-01")
        response, answer = offered[0].response_and_validation(self._client.net.key)
        token = offered[0].chall.encode("token")
        challenges.publish(token, answer.encode("ascii"))
        published.callback(challenges.withdraw, token)
        self._client.answer_challenge(offered[0], response)

    def _signed_in(self) -> Any:
        """The library's client, with the account that is kept or a new one."""
        from acme.client import ClientNetwork, ClientV2
        from acme.messages import NewRegistration, RegistrationResource
        from cryptography.hazmat.primitives import serialization
        from josepy.jwa import ES256
        from josepy.jwk import JWKEC

        logging.getLogger("acme").setLevel(logging.WARNING)  # it would write every answer out
        kept = json.loads(self._account) if self._account else {}
        if kept.get("directory") != self._authority.directory:
            kept = {}  # another authority knows nothing of that account
        pem = kept["key"].encode() if kept else _new_key()
        key = JWKEC(key=serialization.load_pem_private_key(pem, None))
        network = ClientNetwork(
            key,
            account=RegistrationResource(uri=kept["uri"]) if kept else None,
            alg=ES256,
            verify_ssl=self._authority.ca_file or True,  # type: ignore[arg-type]  # it goes to requests as it is
            user_agent=f"interpose/{__version__}",
            timeout=TIMEOUT_S,
        )
        client = ClientV2(ClientV2.get_directory(self._authority.directory, network), network)
        if not kept:
            wanted = NewRegistration.from_data(email=self._authority.email or None, terms_of_service_agreed=True)
            registered = client.new_account(wanted)
            account = {"directory": self._authority.directory, "uri": registered.uri, "key": pem.decode()}
            self._keep_account(json.dumps(account).encode())
        return client


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Errors of the library, and of what it is made with, as one sentence."""
    from acme.errors import Error, ValidationError
    from acme.errors import TimeoutError as TooSlow
    from requests import RequestException

    try:
        yield
    except ValidationError as error:
        problems = [one.error for authorization in error.failed_authzrs for one in authorization.body.challenges]
        why = "; ".join([str(one.detail or one) for one in problems if one is not None]) or "a challenge failed"
        raise ValueError(f"{what}: {_shown(why)}.") from error
    except TooSlow as error:
        raise ValueError(f"{what}: the authority did not decide in time.") from error
    except RequestException as error:
        raise ValueError(f"{what}: the authority cannot be reached: {_shown(error)}.") from error
    except (Error, ValueError, KeyError) as error:
        raise ValueError(f"{what}: {_shown(getattr(error, 'detail', None) or error)}.") from error


def _shown(words: object) -> str:
    """The authority's words, in which nothing may be but text."""
    return printable(str(words).encode("utf-8", "backslashreplace"))[:300].removesuffix(".")


def _new_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _request_for(name: str) -> tuple[bytes, bytes]:
    """A new key and the request to sign it for `name`, both in PEM."""
    from acme.crypto_util import make_csr

    key = _new_key()
    return key, make_csr(key, [name])
