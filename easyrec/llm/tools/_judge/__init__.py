"""What `judge` is made of: what is read, what is asked, and what answers come to."""
