"""CAT-Diffusion: text-guided object inpainting with semantic pre-inpainting (arXiv 2409.08260)."""
