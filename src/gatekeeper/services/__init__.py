"""The services: they load, ask the pure rooms, and save. Each is handed a transaction.

`accounts`, `customers`, `subscriptions`, `purchases` and `usage` are plain functions over a
`Transaction`, so that they run in ours and in the host's; `credits` and `resolver` bring them to
the event loop.
"""
