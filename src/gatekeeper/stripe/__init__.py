"""Everything that talks to Stripe or listens to it."""
