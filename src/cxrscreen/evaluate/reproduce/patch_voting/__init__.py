"""The tables of the patch-voting paper (Oh, Park, Ye, 2020), trained and measured again."""
