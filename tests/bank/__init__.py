"""The bank: processes that spend, grant and die at random, and a checker that shares no code with
what it checks.

- `shop.py`, `worker.py`, `actions.py`, `hosting.py`, `answers.py`: the load. They use the library
  as a host would.
- `supervisor.py`: forks workers, kills them with SIGKILL at random moments, starts new ones.
- `journal.py`: what each worker asked for, and what it was told.
- `reading.py`, `rules.py`, `packed.py`, `told.py`, `checker.py`: the checker. Plain SQL through
  sqlite3 and asyncpg; nothing here imports gatekeeper.
"""
