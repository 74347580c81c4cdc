ln -s two one
ln -s three two
ln -s a three
