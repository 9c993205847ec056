"""Collage Diffusion (arXiv 2303.00262): layers with words of their own become one picture."""
