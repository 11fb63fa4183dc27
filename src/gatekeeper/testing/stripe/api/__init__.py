"""The HTTP face: one file for each of Stripe's resources."""
