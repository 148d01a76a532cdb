"""Holds messages until somebody has decided about them (phase EDIT).

A rule is a query; the first rule that matches decides, for a request before it goes on and for a response before it
goes back, and for pieces of streams and datagrams of a relay. What is held is read whole and stored by the desk before
anything else; then its exchange waits, without deadlines of its own, until the desk says what becomes of it. What goes
on is what was approved, octet for octet: its digest is compared.

    options   the rules, as they are configured          rules     the rules, ready to be asked
    holder    has a message held, and carries out what is decided
    filter    requests and responses                      pieces    what passes through a relay
"""
