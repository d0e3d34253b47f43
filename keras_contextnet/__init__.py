"""ContextNet speech recognition for Keras 3."""
