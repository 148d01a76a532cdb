"""Block lists: addresses that are not to be reached (phase ADMIT).

Lists of hosts and of domains are looked up in a dictionary; lists of filters, in the syntax of browsers' extensions,
are asked through Brave's engine, all of a listener's as one, so that an exception in one holds for the others. What is
blocked gets 403, with a page that says which rule of which list it was and, where policy allows, how to go on.

    options   lists, as they are configured            names    lists of hosts and domains
    engine    lists of filters                         party    what a request is for, and on whose behalf
    lists     all lists of a listener                  bypass   sealed links and cookies of those who go on all the same
    filter    what becomes of a request
"""
