"""What every test of the selection needs: one thread, and examples that do not change from run to run."""

from __future__ import annotations

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("gotd", derandomize=True, deadline=None)
settings.load_profile("gotd")
