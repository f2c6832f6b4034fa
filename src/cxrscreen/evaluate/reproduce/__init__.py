"""The tables of the papers, trained and measured again on the data at hand: a file per paper, a function per table."""
