"""A local page in the browser: images and videos in, poses out."""
