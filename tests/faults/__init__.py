"""Seeded faults: small deliberate bugs in the ledger, each of which the tests must catch.

`python -m tests.faults` (or `make faults`) puts one after the other into a copy of the sources and
runs the tests that are named with it. A list of what the tests are known to notice says more about
them than their coverage does: a line can be run and its meaning never be looked at.
"""
