"""What servers learn of who asks: said less, or said more (phase EDIT).

options    what an operator may say
plan       what a profile means, key by key
fields     fields removed, generalised and set
filter     the rules, asked in their order
page       what a server sees, before and after, on the proxy's own page
"""
