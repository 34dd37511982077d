"""``index.html``: the data set for people, in a browser, without a server."""
