"""The firewall (phase INSPECT): rules about requests and answers, which block, score or note what they match.

Own rules are queries, asked in the worker. The Core Rule Set is asked in separate processes, since a rule of it
may take seconds over a request that was made for that: such a process is killed at its deadline, and
nobody else has waited.

    options    the tables of the configuration           rule_text  what the library is told of them
    messages   between a worker and its processes        library    the library, as far as it is used
    reasons    why: what rules matched, what was summed  log_lines  the same, out of what the library says
    process    one firewall process                      pool       those of a worker
    own_rules  rules in the query language               judge      what is asked of both, and what follows
    filter     requests and answers                      what_if    two rule sets compared, and what to exclude
"""
