"""The simulator's machinery, which knows nothing of Stripe's objects."""
