"""DiT4Edit: prompt-based image editing with a diffusion transformer (arXiv 2411.03286)."""
