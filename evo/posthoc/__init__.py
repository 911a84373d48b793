"""After a search: test an individual, beside a baseline, or train it again; in a child process, as the search does."""
