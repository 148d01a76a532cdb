"""What may not go wrong on a page: that a script of it throws, that the browser complains (of a refused policy among
others), that it asks anything of another origin than its own.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Dialog, Page, Request

REFUSED = "Failed to load resource"  # what a test asks for on purpose: it sees the status itself


class Watch:
    """What goes wrong on a page."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.hosts: set[str | None] = set()
        page.on("pageerror", lambda error: self.complaints.append(f"{error}"))
        page.on("console", self._said)
        page.on("request", self._asked)
        page.on("dialog", self._opened)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and REFUSED not in message.text:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.netloc)

    def _opened(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def check(self) -> None:
        assert self.complaints == []
        assert len(self.hosts) <= 1, self.hosts
