"""Records in the formats of other programs: captures for Wireshark (pcapng), archives for browsers (HAR)."""
