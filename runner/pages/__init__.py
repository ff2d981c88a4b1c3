"""Pages for people: results as HTML, Markdown and text, made from records only."""
