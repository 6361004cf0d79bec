"""Text to (n, d) float32 vectors: `lsa`, `static` and both joined are embedded; any transformer can serve."""

from gotd.encoders.protocol import Encoder
from gotd.encoders.registry import KNOWN_SPECS, fit_encoder, restore_encoder

__all__ = ["KNOWN_SPECS", "Encoder", "fit_encoder", "restore_encoder"]
