"""Content filters: text and HTML changed as it flows (phase EDIT).

options      what an operator may say
replacing    texts and patterns replaced, across the borders of chunks
tags         HTML cut into tags and text
selector     which elements are meant
page         elements removed, and text inserted, in HTML
rules        what is meant by a rule, and what it does
flow         content being changed while it flows, its coding undone and made again
filter       from a request and its response to the content that is changed
"""
