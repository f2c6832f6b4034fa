"""COVID-CXNet: enhancement, region of interest, CheXNet transfer, Grad-CAM and LIME (Haghanifar et al., 2020)."""
