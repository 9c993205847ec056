"""DreamFuse: adaptive image fusion with a diffusion transformer (arXiv 2504.08291)."""
