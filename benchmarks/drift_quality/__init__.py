"""How often drift checks cry wolf, and how often they see the wolf: ours beside others' rules, on one simulation."""
