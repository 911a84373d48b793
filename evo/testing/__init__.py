"""What tests of evo, and of propagators of your own, need: virtual ranks, trials, the contract of propagators."""
