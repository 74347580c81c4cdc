"""Files that are seen inside containers: mounted at /cnb/lifecycle during a build, or copied into the image (launcher.sh)."""
