"""Many radiographs: read, screened and written in a stream; a failure is recorded and the others go on."""
