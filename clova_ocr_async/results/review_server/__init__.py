"""The server of a review: the page of a run on this machine's own address, where a person corrects what was read."""
