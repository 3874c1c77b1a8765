"""The exactness suite: laws by plain recursion, the real loop integrated, and what each certificate is held to."""
