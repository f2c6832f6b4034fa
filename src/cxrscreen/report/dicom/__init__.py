"""A Screening as DICOM objects that an archive keeps and a viewer shows: SR, SEG, parametric map, captures, GSPS."""
