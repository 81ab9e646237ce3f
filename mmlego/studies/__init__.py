"""One folder per question of the book: what is trained and measured, and the page on it."""
