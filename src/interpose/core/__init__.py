"""Values and types that every floor speaks; imports nothing else of Interpose."""
