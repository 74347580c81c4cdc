ln -s a to-file
ln -s b to-other
