"""The hosted pages: checkout, 3-D Secure and the customer portal."""
