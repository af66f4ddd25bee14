"""The command `keras-spp`, where its script is not on the path: `python -m keras_spp`."""

from keras_spp.cli import main

if __name__ == "__main__":
    main(prog_name="keras-spp")
