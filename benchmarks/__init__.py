"""What is measured rather than tested: `accuracy` and `latency`, each command a module."""
