"""COMiT-Net (Malhotra et al., 2022): lungs, disease region, healthy or not, and COVID-19 or other, by one network."""
