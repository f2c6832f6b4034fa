"""Training: recipes, augmentation, balanced batches, losses and the Lightning loop."""
