"""Pages for people: figures, tables and plots in one file that needs no other."""
