"""Networks and the door through which their weights come in and go out."""
