"""Everything that knows a framework."""
