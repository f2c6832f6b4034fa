"""Saliency maps from arrays: CAM in both readings, Grad-CAM, guided Grad-CAM, and their share inside the lungs."""
