"""A role below HTTP behind access rules: who connects is asked about before it is served."""

from __future__ import annotations

from interpose.core.failure import Failure
from interpose.core.target import Authority
from interpose.engine.conversations import Conversation, Serve
from interpose.filters.access.filter import Access


class Admitted:
    """A `Serve`. What is asked about is the address of ours that the client connected to: it names no other."""

    def __init__(self, access: Access, serve: Serve) -> None:
        self._access = access
        self._serve = serve

    def __call__(self, conversation: Conversation) -> None:
        """Serve one conversation, if that is allowed."""
        conversation.stream.run(self._admit(conversation))

    async def _admit(self, conversation: Conversation) -> None:
        host, port = conversation.exchange.local
        try:
            await self._access.admit(conversation.exchange, Authority(host, port), "tcp")
        except Failure as failure:
            conversation.fail(failure)
        else:
            self._serve(conversation)
