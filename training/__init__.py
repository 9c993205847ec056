"""Recipes that train the pocket models, and the world that they are trained on."""
