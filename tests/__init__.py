"""The tests of Gatekeeper: they mirror the rooms of `src/gatekeeper`."""
