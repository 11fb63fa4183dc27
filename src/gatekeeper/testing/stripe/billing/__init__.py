"""What happens to money and subscriptions, without HTTP."""
