"""Was the selection worth it? Methods x budgets x tasks x seeds, trained alike and judged on held-out data.

config.yaml -> plan -> cells -> results -> table, verdict
                         |
     choices (fit, score, choose: shared) -> warmup -> finetune -> measures
"""

from gotd.comparison.config import Config, Task
from gotd.comparison.reading import read_comparison
from gotd.comparison.running import Comparison, compare

__all__ = ["Comparison", "Config", "Task", "compare", "read_comparison"]
