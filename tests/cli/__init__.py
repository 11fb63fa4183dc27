"""The `gatekeeper` command, run as people run it: as a process."""
