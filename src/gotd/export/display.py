"""What a person sees of an export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd.display import console, plain

if TYPE_CHECKING:
    from gotd.export.selection import Exported

_SHOWN = 5


def show_export(found: Exported) -> None:
    """What was written, what was left out, which licences are unknown, and what to type next."""
    out, counts = console(), found.manifest["counts"]
    kind = {"chat": "chats", "text": "texts"}[found.manifest["shape"]]
    out.print(
        f"Wrote {found.path} ({counts['exported']:,} {kind}), with README.md as its dataset card.", soft_wrap=True
    )
    if counts["rejected"]:
        out.print(f"{counts['rejected']:,} of {counts['selected']:,} records left out: see rejects.jsonl.")
    unknown = [plain(source) for source, licence in found.manifest["licences"].items() if "not stated" in licence]
    if unknown:
        named = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
        out.print(f"Licence not stated for {named}; pass --license SOURCE=ID if you know it.", soft_wrap=True)
    if unused := found.manifest["licences_unused"]:
        out.print(f"--license was not needed for {', '.join(map(plain, unused))}: each record states its own.")
    out.print(f"Next:\n{found.manifest['use'].replace('FOLDER', str(found.folder))}", soft_wrap=True)
