ln -s a to-file
ln -s d to-dir
