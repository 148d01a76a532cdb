"""The cache (phase STORE): answers from what is stored, and one fetch for all who ask for what is not.

    options     what an operator may say about it
    rules       what holds for one request, and its key
    fetch       a request to the origin whose answer many may have while it arrives
    keeper      what all listeners of a worker share of one cache: the store, the running fetches, the counts
    answers     the response that a stored one makes for one request: whole, a part of it, 304, without content
    filter      the filter

Decisions are `protocol.caching`'s, content is `storage`'s.
"""
