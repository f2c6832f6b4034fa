"""A system of your own: one grey value of the lungs, and a line through it. To copy from, not to use."""
