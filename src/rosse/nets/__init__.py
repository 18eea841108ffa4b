"""What every network shares: heads that end it, and the likelihoods it is trained with."""
