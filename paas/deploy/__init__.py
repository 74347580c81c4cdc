"""Workflows: what happens in which order. Read these first; each function is a runbook.

They speak to contracts, state, model and host only, never to a plug-in.
"""
