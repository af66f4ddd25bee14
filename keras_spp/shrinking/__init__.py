"""From a pruned model to the small one."""
