"""What a generator made of open files before anybody asked: `open_files` keeps it, `reader` makes it."""
