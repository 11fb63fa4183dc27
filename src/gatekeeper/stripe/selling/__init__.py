"""Selling for others: who sells, what they get and give back, and what banks ask back of it."""
