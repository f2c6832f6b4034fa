"""Controls that train a probe: what the images, their masks and their labels give away, whatever a bundle learned."""
