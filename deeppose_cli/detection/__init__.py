"""Where the person is: initial boxes."""
