"""The demonstration: a made-up bank's assistants, scripted traffic with planted events, and what was found of them."""
