"""Checks, files and messages: nothing here knows of networks."""
