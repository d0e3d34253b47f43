"""Encoder, predictor, joiner, and ContextNet, the model that puts them together."""
