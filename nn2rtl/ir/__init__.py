"""Intermediate representation: graphs, operations, exact functions and the verifier."""
