"""What verified tokens are worth remembering: in this process (L1), in the region's Redis (L2), and how to come by them."""
