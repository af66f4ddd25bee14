"""What both Keras say of a checkpoint that cannot be restored."""

from __future__ import annotations

from typing import Any


def not_restored(callback: Any, checkpoint: Any, reason: str) -> ValueError:
    """Returns the error of a checkpoint that cannot be restored.

    Args:
        callback: The BackupAndRestore that has found it.
        checkpoint: Its path.
        reason: What is wrong, in words.
    """
    return ValueError(
        f"`backup_dir` is {callback.backup_dir!r}, whose checkpoint {str(checkpoint)!r} cannot be "
        f"restored into model {callback.model.name!r} ({reason}): if it is damaged or of another "
        f"run, choose another folder or delete this one to start anew."
    )
