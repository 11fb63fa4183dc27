"""Suites that every implementation of a port must pass; a host runs them on its own as well."""
