"""From archives, folders and URLs to files on disk."""
