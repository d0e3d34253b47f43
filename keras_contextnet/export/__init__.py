"""Export to SavedModel and LiteRT."""
