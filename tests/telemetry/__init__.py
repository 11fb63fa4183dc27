"""What Gatekeeper tells of itself: metrics, spans, health and logs."""
