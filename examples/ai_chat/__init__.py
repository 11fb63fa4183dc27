"""An AI chat: 5 free credits, one for each message, and Pro."""
