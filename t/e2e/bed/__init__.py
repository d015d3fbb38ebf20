"""bed: what the end-to-end tests stand on: the built programs, real and scripted back-ends, TLS
clients, certificates of the run, and waiting that has a deadline."""
