"""Imaging biomarkers of the lungs and the heart, after Oh et al. 2020: form, grey values, cardiothoracic ratio."""
