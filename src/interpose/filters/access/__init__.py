"""Access rules: who may go where (phase ADMIT).

One ordered list; the first rule that matches decides, and where none does everything is allowed. Rules can only take
away: the ports, addresses and loops that a listener refuses are refused behind them all the same. Requests of HTTP are
asked about as they are; what a SOCKS client wants, and a connection of a relay, is asked about as the CONNECT that it
would be in HTTP.

    options   the rules, as they are configured        rules    the rules, ready to be asked, and their trace
    filter    what follows from the one that decides   asking   decisions that somebody else takes, remembered
"""
