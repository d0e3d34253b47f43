"""Audio files, manifests and tf.data pipelines."""
