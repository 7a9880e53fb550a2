"""What a generator made of open files before anybody asked: `reading`, `reader`."""
