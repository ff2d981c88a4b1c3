"""Results beside each other: which trials belong together, what differs between where they ran."""
