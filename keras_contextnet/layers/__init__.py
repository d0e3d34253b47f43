"""Building blocks, each usable alone in any Keras model."""
