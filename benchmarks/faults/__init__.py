"""What is lost, doubled or put out of order when something breaks: flowrt, and Node-RED on the same work, counted.

`python -m benchmarks.faults` breaks one thing after the other under load; `soak` runs for as long as it is told and
watches memory, threads and descriptors; `simulate` runs the delivery core in virtual time. docs/reliability.md has the
results.
"""
