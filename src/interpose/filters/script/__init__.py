"""Your own functions: a file of Python whose functions are marked with `@interpose.filter`, `@interpose.messages` and
others.

A script has a *slot* in every phase. The slots are built into the handlers once and stay there; what they call is
looked up for each request, so that a changed file, even one with other functions in other phases, takes effect without
anything being rebuilt. An empty slot hands on without a coroutine of its own.

An error in a script is the script's: the exchange gets a 500, log, answer and console name the line, everything else
goes on. To tell such an error from one that came out of `forward`, what a function is given as `forward` remembers what
it raised. It remembers bodies as well: one that the function got and did not pass on is closed, or its upstream
connection would wait for a reader for ever.

A script runs on the loop of its worker: while it computes, everybody else waits. What takes longer than a few
milliseconds belongs into `await asyncio.to_thread(...)`; the watchdog names the line of a script that forgets it.

    options  the table of the configuration      marks     what marks functions, and gives options
    loaded   one version of a file               step      one function as a filter
    script   the file, as it changes             message   one function as a filter of messages
    content  reading and replacing contents      edits     functions that are given contents by a filter of their own
    troubles what went wrong, and who is passed over for it
"""
