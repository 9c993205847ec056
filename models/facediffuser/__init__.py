"""Face-diffuser: people from reference pictures in described scenes, by two models in turns (arXiv 2311.10329)."""
