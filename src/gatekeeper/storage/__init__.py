"""Storage: one port (`port`), its rows (`records`), and its implementations."""
