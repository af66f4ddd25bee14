"""What people read who decide: a report of a dense and a small model, and what speedups cost."""
