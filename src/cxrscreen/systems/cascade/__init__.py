"""The cascade of Yeh et al. (2020): lung mask, normal or pneumonia, COVID-19 or other pneumonia."""
