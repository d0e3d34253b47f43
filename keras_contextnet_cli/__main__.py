"""python -m keras_contextnet_cli: the command line without its installed script."""

from keras_contextnet_cli import app

app(prog_name="keras-contextnet")
