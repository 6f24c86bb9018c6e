"""COSE libraries of others, which verify and decrypt envelopes without knowing them."""
