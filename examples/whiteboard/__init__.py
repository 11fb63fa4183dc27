"""A whiteboard: Free and Pro, an AI that draws for credits, top-ups by themselves, overage."""
