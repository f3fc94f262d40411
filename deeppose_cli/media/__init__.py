"""Image files, video files and crops."""
