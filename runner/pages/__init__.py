"""Pages for people: what results say, as HTML, Markdown and text, from records only."""
