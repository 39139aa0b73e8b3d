"""Pieces that several pages draw: each function takes plain values and escapes every text from traffic."""
