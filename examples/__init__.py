"""Apps to look at, click through and learn from: `python -m examples.ai_chat`."""
