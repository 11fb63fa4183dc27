"""The tests of the cache room."""
