"""Tools for tests of evo and of your own code: virtual ranks, trials, and the contract of propagators."""
