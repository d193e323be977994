"""Reports of one model: its scores, and the page that shows them."""
