"""Ways to choose, given points in a space."""
