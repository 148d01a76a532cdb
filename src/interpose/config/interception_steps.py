"""The filters that interception takes on a listener: inner requests are put straight, and are not asked who sends
them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from interpose.config.interception import interception_in_words, is_intercepted, leaves, origin_tls, wants_certificate
from interpose.config.model import Config, Listener
from interpose.config.parts import Parts
from interpose.config.step import Step
from interpose.core.handler import Filter, Handler, Phase
from interpose.core.target import Authority
from interpose.filters.inside import Inside, OutsideOnly
from interpose.net.address import parse_address


def interception_steps(config: Config, listener: Listener, parts: Parts) -> list[Step]:
    """What comes before every other filter that may refuse. Making it demands the files that interception needs."""
    table = config.interception
    if table is None or not is_intercepted(config, listener):
        return []
    return [Step(Phase.ADMIT, "interception", interception_in_words(table), partial(_inside, config, parts))]


def asked_outside(config: Config, listener: Listener, steps: list[Step]) -> list[Step]:
    """The same steps, but who opened a tunnel that is looked into is not asked for a password again inside."""
    if not is_intercepted(config, listener):
        return steps
    return [step._replace(make=partial(_outside, step.make)) if step.name == "auth" else step for step in steps]


def with_certificate(config: Config, listener: Listener, parts: Parts, page: Handler) -> Handler:
    """A page of a proxy about itself, beside which there is the certificate that its clients have to trust."""
    if not is_intercepted(config, listener):
        return page
    from interpose.filters.certificate_page import CertificatePage, Trusted

    ours, address = leaves(config, parts).authority, parse_address(listener.address)
    own = Authority("localhost" if address.is_unix else address.host, address.port or None)
    trusted = Trusted(ours.name, ours.pem, ours.der, ours.expires, ours.fingerprint, ours.permitted)
    return CertificatePage(trusted, own, page)


def _inside(config: Config, parts: Parts) -> Filter:
    leaves(config, parts)
    origin_tls(config, parts)
    return Inside(wants_certificate(config, parts))


def _outside(make: Callable[[], Filter]) -> Filter:
    return OutsideOnly(make())
