"""Batches beyond one machine: listed sources, shards of files, Parquet results with exactly one row a file, Ray."""
