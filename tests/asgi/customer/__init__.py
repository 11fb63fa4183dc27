"""The customer's routes of the billing API."""
