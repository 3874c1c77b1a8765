"""Held-out accuracy and cost of decoding methods: `evaluate` measures, `report` words it, `spec` parses."""
