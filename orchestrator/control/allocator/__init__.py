"""Hands out what must be unique in the cluster: subnets, addresses, published ports."""
