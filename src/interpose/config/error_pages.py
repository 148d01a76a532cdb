"""From the `[[error_page]]` tables to what makes the answers to failures, and to what stands in for servers' errors."""

from __future__ import annotations

from functools import partial

from interpose.config.model import Config, Listener, Route
from interpose.config.step import Step
from interpose.core.handler import Phase
from interpose.filters.error_answer import ErrorAnswer
from interpose.filters.error_pages import ErrorPage, ErrorPages, OwnErrors


def with_pages(config: Config, listener: Listener, answer: ErrorAnswer) -> ErrorAnswer | OwnErrors:
    """What makes answers to failures on `listener`; `answer` makes them where there is no page."""
    pages = _pages_of(config, listener)
    return OwnErrors(answer, ErrorPages(pages)) if pages else answer


def intercepting_steps(config: Config, listener: Listener, route: Route | None) -> list[Step]:
    """What puts pages in the place of what the servers of a route say of errors."""
    pages = [page for page in _pages_of(config, listener) if page.intercept]
    if not pages or route is None or not route.upstream:
        return []
    statuses = ", ".join(dict.fromkeys(status for page in pages for status in page.status))
    return [Step(Phase.EDIT, "error pages", statuses, partial(ErrorPages, pages))]


def _pages_of(config: Config, listener: Listener) -> list[ErrorPage]:
    return [page for page in config.error_pages if not page.listeners or listener.name in page.listeners]
