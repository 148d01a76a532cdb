"""Compression: giving content a coding on its way to the client (phase SHAPE).

options    what an operator may say
filter     from a request and its response to a coding, or to none
flow       content being compressed while it flows
variants   compressed content that a cache keeps
"""
