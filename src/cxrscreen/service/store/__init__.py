"""What the service keeps: a database of typed rows, its migrations, and files named by their content."""
