"""Subscribing through the billing API."""
