"""The replicated state: what is kept, the actions that change it, and the one function that applies them. Pure."""
