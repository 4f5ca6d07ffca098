"""Values, names and resource states; everything else is built on these."""
