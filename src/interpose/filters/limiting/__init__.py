"""How much each client, user or host may have: requests, exchanges at once, bytes a second and a day."""
