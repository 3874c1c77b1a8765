"""Training of networks and dependency heads: data, mask patterns, objectives, the loop."""
