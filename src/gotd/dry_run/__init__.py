"""`gotd select --dry-run`: what would be read and written, and how long it should take; nothing is written.

files -> sizes   bytes, and rows, counted where that is cheap, else estimated
      -> sample  some documents of each side
sample -> rates  a little of each part of the work, done and timed on this machine
sizes, rates -> steps   what the whole should take
"""

from gotd.dry_run.plan import DryRun, dry_run

__all__ = ["DryRun", "dry_run"]
