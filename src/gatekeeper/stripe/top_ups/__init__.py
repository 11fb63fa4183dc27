"""Automatic top-ups: what customers agree to, and paying what is due."""
