"""The delivery core in virtual time: thousands of runs a minute, each a seed, each with faults of its own.

What runs is the code that ships: `Incoming` with its sessions and exactly-once table, inboxes, nodes with their fault
handlers, the tracker, `Outgoing` with its window. What is simulated is what surrounds it: a broker, two links that
break and lose what is on the wire, operators that filter, fork and fault, a dead-letter store whose disk is full at
times, and a process that is killed at any write. A scheduler drawn from the seed decides what happens next; nothing
waits, and no clock is read that decides anything.
"""
