"""python -m keras_contextnet: the command line."""

from keras_contextnet_cli import app

app(prog_name="keras-contextnet")
