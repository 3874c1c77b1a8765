"""What records that are made by hand have in common."""

__all__ = ["ENVIRONMENT"]

ENVIRONMENT = {
    "fef": "0",
    "torch": "2",
    "python": "3",
    "device": "cuda",
    "gpu": "A card",
    "cpu": "a chip",
    "threads": 2,
}
