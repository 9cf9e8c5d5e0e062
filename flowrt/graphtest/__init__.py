"""`flowrt test`: graphs run on messages from a file, on virtual time, without a broker.

`model` is what a test file may hold; `own` and `aio` make trials of its two forms; `execution` drives the nodes of a
graph as the runtime builds them, on one thread; `running` runs trials in processes; `reporting` tells what came of them
(docs/decisions/070-graph-tests.md).
"""
