"""Boards, their resources, and the tool flows that synthesize a core for them."""
