"""From encoder output to tokens."""
