"""The documentation is run: see `test_code_blocks.py` for the conventions."""
