"""The article's service, and how its image is packed; `server.py` and `root_file_system.py` also run on their own."""
