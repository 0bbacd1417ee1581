"""nginx in front of the sample service, finding its tasks by name; `root_file_system.py` also runs on its own."""
