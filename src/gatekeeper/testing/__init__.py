"""What a host app needs to test its own billing: the Stripe simulator and its pytest fixtures."""
