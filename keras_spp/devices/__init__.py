"""Timing exported files, on this machine, boards and phones."""
