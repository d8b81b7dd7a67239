"""Average guides: `python -m guide.average OUT.gguf GUIDE.gguf...`; a file given twice weighs twice."""

from __future__ import annotations

import argparse
from pathlib import Path

import jax

from . import earlier, export, network


def main() -> None:
    """Write the mean of the weights, with the first file's tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("guides", type=Path, nargs="+")
    settings = parser.parse_args()
    shape = network.Shape(1024)
    read = [earlier.read(path, shape) for path in settings.guides]
    words = read[0][1]
    if any(other.get_vocab() != words.get_vocab() for _weights, other in read):
        parser.error("these guides have different tokenizers; average only guides that go on from the same one")
    weights = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *(each for each, _words in read))
    export.write(settings.out, weights, shape, words)


if __name__ == "__main__":
    main()
