"""What Gatekeeper costs, measured beside what it is compared with, in the same run.

`python -m benchmarks` runs every module of this package that has a `run()`, `python -m benchmarks
signature` only that one. To add one: a module with a docstring (its first line is the table's
title) and `def run() -> list[Row]`, or `def tables() -> Iterator[Table]` if it has several; see
`benchmarks.table`. `--quick` has the ledger's benchmarks take a short look. The numbers are this
machine's, in this hour: only those of one run may be compared.
"""
