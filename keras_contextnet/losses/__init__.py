"""Losses for transducers."""
