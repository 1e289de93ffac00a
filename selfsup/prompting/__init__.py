"""WHAT a causal model answers when it is asked in words: descriptions, demonstrations, scored answers."""
