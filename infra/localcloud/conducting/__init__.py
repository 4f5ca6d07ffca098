"""From the world's effects to the plane: who owns which task, and in which order things happen."""
