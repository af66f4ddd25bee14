"""Timing exported files, on this machine, boards and phones."""

# What can run the operations of a file; the last two on Android only.
DELEGATES = ("xnnpack", "none", "gpu", "nnapi")
