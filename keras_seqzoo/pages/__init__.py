"""Pages: results as one HTML file that needs no network, and its figures as pictures."""
