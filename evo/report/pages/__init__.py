"""Reports with pictures: what happened in a study, as one page that opens anywhere."""
