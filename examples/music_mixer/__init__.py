"""A mixer in the browser: one Pro plan, paid in the page or on Stripe's."""
