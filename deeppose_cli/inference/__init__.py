"""Images and videos in, poses out."""
