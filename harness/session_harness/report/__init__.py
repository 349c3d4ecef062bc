"""Turn the stream of verdict records of a run into reports; every report is made from that one stream."""
