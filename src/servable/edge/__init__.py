"""To the client's device: the same model in a browser or in Node, with the same contract and rules, proven equal."""
