"""The ledger's shell: commands are collected, decided in memory under their accounts' locks, and
written together."""
