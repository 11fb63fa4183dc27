"""One story on two Stripes: the simulator always, Stripe itself where there is a test key."""
