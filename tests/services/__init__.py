"""The real servers that the tests talk to: PostgreSQL and Redis, on loopback, never longer than
the run.

A server that cannot start is an error with what to install, never a skip.
"""
