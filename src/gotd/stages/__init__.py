"""The three stages of a selection, each with an artifact on disk: fit, score, choose."""
