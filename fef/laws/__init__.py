"""Pure functions on tensors: laws, keyed draws, acceptance, noise and closed forms. No model, no loop."""
