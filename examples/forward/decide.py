"""Who may upload where: asked by the rule "uploads" of examples/forward.toml."""

import interpose

OURS = (".our.example", ".partner.example")


@interpose.decision
async def uploads(exchange: interpose.Exchange, request: interpose.Request) -> interpose.Decision:
    host = request.target.authority.host
    if host.endswith(OURS):
        return interpose.Decision(True)
    return interpose.Decision(False, f"Uploads to {host} are not allowed; ask Ann.", ttl_s=60)
