"""What the number of surviving channels does to TFLite latency at equal MACs.

    python benchmarks/rounding.py [--speedup 2] [--model FILE] [--runs 300]

Two plans for the same speedup in MACs: survivors in whole blocks of channels, which is what
`spp.prune` prefers, and the same ratio everywhere, whatever number that leaves.
"""

import argparse
import tempfile
from pathlib import Path

from training_step import resnet20

import keras_spp as spp
from keras_spp import allocation
from keras_spp.prune import at_goals
from keras_spp.saved import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a saved tf_keras model (default: a ResNet-20)")
    parser.add_argument("--speedup", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=300)
    options = parser.parse_args()
    model = load_model(options.model) if options.model else resnet20()

    with tempfile.TemporaryDirectory() as folder:
        files = {"dense": Path(folder, "dense.tflite")}
        spp.export_tflite(model, files["dense"])
        for name, block in (("blocks", allocation.BLOCK), ("any number", 1)):
            allocation.BLOCK = block
            small = at_goals(spp.prune(model, target_speedup=options.speedup, round_to=1))
            files[name] = Path(folder, f"{name}.tflite")
            spp.export_tflite(small, files[name])
            print(f"{name}: MACs speedup {spp.analyze(model).macs / spp.analyze(small).macs:.3f}")
        print(spp.benchmark(files, runs=options.runs))


if __name__ == "__main__":
    main()
