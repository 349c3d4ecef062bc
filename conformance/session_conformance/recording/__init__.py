"""What a run leaves behind: the stream of its verdicts and the evidence of each case."""
