"""The local scheduler: all processes on this machine."""
