"""The laboratory: experiments that run on loopback in front of whoever asks, and then explain what happened."""
