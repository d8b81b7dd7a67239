"""One builder and one image for all tests of this room."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.image.building import Builder, Image


@pytest.fixture(scope="session")
def builder() -> Iterator[Builder]:
    """buildah with stand-ins for the base images, in a folder that is given back."""
    image_builder = Builder(Path(tempfile.mkdtemp(dir="/var/tmp", prefix="ollamaspace-image-")))
    yield image_builder
    image_builder.clear()


@pytest.fixture(scope="session")
def image(builder: Builder) -> Image:
    """The image as `docker build .` makes it."""
    return builder.build()


@pytest.fixture(scope="session")
def root(builder: Builder, image: Image) -> Path:
    """The image's file system."""
    return builder.unpack(image)
