"""The leader's side: sessions with all agents, the loop that runs the deciders, the certificate authority."""
