"""The file backend: checkpoint, secrets, locks, edits by hand."""
