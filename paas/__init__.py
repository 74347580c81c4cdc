"""A mini-PaaS for one small server: `git push` to a routed URL, without Docker."""

__version__ = "0.1.0"
