"""From picture files to rows of pixels, and from rows of pixels to what a model says of them."""

from synapse_core.images.captions import until_end
from synapse_core.images.decoding import MOST_IMAGE_PIXELS, check_samples, read_image
from synapse_core.images.encoder import Encoder, natural_output
from synapse_core.images.pixels import check_pixels, load_pixels
from synapse_core.images.ports import ENCODE_TEXT, CaptionPorts, ImagePorts, encoder_ports
from synapse_core.images.preprocessing import (
    PREPROCESSOR_JSON,
    Preprocessing,
    preprocessing_of,
    read_preprocessing,
    size_of_file,
)

__all__ = [
    "ENCODE_TEXT",
    "MOST_IMAGE_PIXELS",
    "PREPROCESSOR_JSON",
    "CaptionPorts",
    "Encoder",
    "ImagePorts",
    "Preprocessing",
    "check_pixels",
    "check_samples",
    "encoder_ports",
    "load_pixels",
    "natural_output",
    "preprocessing_of",
    "read_image",
    "read_preprocessing",
    "size_of_file",
    "until_end",
]
